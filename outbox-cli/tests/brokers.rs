//! One message through each broker by the command, to destinations that the relay itself declares where it can.

mod common;

use async_nats::jetstream;
use common::{Config, Directory, RELAY, SOON, command, terminate, works};
use outbox::Message;
use outbox::sqlx::Sqlite;
use sqlx::SqlitePool;
use testkit::{Kafka, Localstack, Nats, Process, RabbitMq, eventually};

/// Carries one message to the topic; `to` is the relay's target. Returns when it is settled.
async fn carry(topic: &str, to: &str, environment: &[(&str, &str)]) {
    let directory = Directory::new();
    let url = format!("sqlite:{}", directory.file("shop.db"));
    works(&["migrate", "--url", &url]).await;
    let (outbox, pool) = (Sqlite::new(), SqlitePool::connect(&url).await.expect("the file was made"));
    let mut tx = pool.begin().await.expect("begun");
    let message = Message::new(topic, "order.created").key("7").text("paid");
    outbox.enqueue(&mut tx, message).await.expect("enqueued");
    outbox.commit(tx).await.expect("committed");
    let config = Config::new(&format!(
        "[[outbox]]\nurl = \"{url}\"\n[[outbox.relay]]\nname = \"{RELAY}\"\ntopics = [\"{topic}\"]\nto = {to}\n"
    ));
    let mut run = command(&["relay", "--config", config.path()]);
    run.envs(environment.iter().copied());
    let mut relay = Process::spawn(run);
    eventually("the message is settled", SOON, async || {
        let said = works(&["status", "--config", config.path()]).await;
        let row = said.lines().nth(1).unwrap_or_default().split_whitespace();
        row.skip(2).take(5).eq(["1", "1", "0", "0", "0"])
    })
    .await;
    terminate(&mut relay).await;
}

fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::now_v7())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_kafka_by_a_url_from_the_environment() {
    let (kafka, topic) = (Kafka::shared().await, Kafka::unused_topic("cli"));
    let to = "{ kafka = { url_env = \"SHOP_KAFKA\", declare = { partitions = 1, replication = 1 } } }";
    carry(&topic, to, &[("SHOP_KAFKA", &format!("kafka://{}", kafka.bootstrap()))]).await;
    let records = kafka.consume(&topic).await;
    assert_eq!((records.len(), records[0].text(), records[0].key()), (1, "paid", Some("7")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_rabbitmq() {
    let (broker, topic) = (RabbitMq::shared().await, unique("cli"));
    let to = "{ amqp = { url_env = \"SHOP_AMQP\", declare = \"quorum\", connection_name = \"shop\" } }";
    carry(&topic, to, &[("SHOP_AMQP", broker.url())]).await;
    let stored = broker.take(&topic).await;
    assert_eq!((stored.len(), &*stored[0].data), (1, &b"paid"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_nats() {
    let (nats, stream) = (Nats::shared().await, unique("cli"));
    let to = format!(
        "{{ nats = {{ url = \"{}\", subject_prefix = \"{stream}\", declare = {{ stream = \"{stream}\", subjects = [\"{stream}.>\"] }} }} }}",
        nats.url()
    );
    carry("orders", &to, &[]).await;
    let jetstream = jetstream::new(async_nats::connect(nats.url()).await.expect("a server"));
    let stored = jetstream.get_stream(&stream).await.expect("it was declared").get_raw_message(1).await;
    let stored = stored.expect("a message");
    assert_eq!((stored.subject.as_str(), &*stored.payload), (&*format!("{stream}.orders"), &b"paid"[..]));
    jetstream.delete_stream(&stream).await.expect("deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_sns() {
    let localstack = Localstack::shared().await;
    let topic = localstack.topic("cli.fifo").await;
    let to = format!(
        "{{ sns = {{ arn_prefix = \"{}\", fifo = true, endpoint = \"{}\", in_flight = 2 }} }}",
        Localstack::ARN_PREFIX,
        localstack.url()
    );
    let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    carry(topic.name().trim_end_matches(".fifo"), &to, &credentials).await;
    let stored = topic.messages().await;
    assert_eq!((stored.len(), &*stored[0].body, stored[0].group.as_deref()), (1, "paid", Some("7")));
}
