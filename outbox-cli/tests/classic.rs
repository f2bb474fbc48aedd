//! The classic table, word for word: psql writes, `outbox relay` carries, psql reads what became of it.

mod common;

use common::shop::{Shop, name};
use common::{SOON, terminate};
use testkit::{Kafka, Postgres, eventually};

/// A missing topic is said by Kafka's client after 1 s: that has to lie within the publish deadline.
const SETTINGS: &str = "lease_seconds = 6\npublish_deadline_seconds = 3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_classic_table_shows_what_becomes_of_each_row() {
    let server = Postgres::shared().await;
    let shop = Shop::with(server.database().await, Kafka::own().await).await;
    let psql = async |sql: &str| {
        let argv = ["psql", "-U", "postgres", "-d", name(&shop.url), "-v", "ON_ERROR_STOP=1", "-Atc", sql];
        server.exec(&argv).await.trim_end().to_owned()
    };
    let published = async |payload: &str| {
        let sql = format!("SELECT count(*) FROM outbox WHERE payload = '{payload}' AND published_at IS NOT NULL");
        psql(&sql).await == "1"
    };
    let retries = async |payload: &str| -> i64 {
        psql(&format!("SELECT retry_count FROM outbox WHERE payload = '{payload}'")).await.parse().expect("a number")
    };
    let kafka = &shop.kafka;
    kafka.create("order.created", 1, &[]).await;

    // A row is written before any relay runs, and published when one does.
    psql(r#"INSERT INTO outbox (event_type, payload) VALUES ('order.created', '{"order_id": 1}')"#).await;
    let row = psql("SELECT event_type, payload, published_at, retry_count FROM outbox").await;
    assert_eq!(row, r#"order.created|{"order_id": 1}||0"#);
    let mut relay = shop.config(SETTINGS).active_relay().await;
    eventually("the row is published", SOON, || published(r#"{"order_id": 1}"#)).await;
    let row = psql("SELECT * FROM outbox WHERE published_at >= created_at").await;
    let columns: Vec<&str> = row.split('|').collect();
    let [id, event_type, payload, _created_at, _published_at, retry_count] = columns[..] else { panic!("{row}") };
    assert_eq!((event_type, payload, retry_count), ("order.created", r#"{"order_id": 1}"#, "0"));
    let records = kafka.consume("order.created").await;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].text(), records[0].key()), (r#"{"order_id": 1}"#, None));
    assert_eq!(records[0].header("message-id"), Some(id));
    assert_eq!(records[0].header("event-type"), Some("order.created"));
    assert_eq!(records[0].header("content-type"), Some("application/json"));

    // An outage of Kafka costs no attempts.
    kafka.kill().await;
    psql(r#"INSERT INTO outbox (event_type, payload) VALUES ('order.created', '{"order_id": 2}')"#).await;
    relay.wait_line("the transport does not answer", SOON).await;
    assert!(!published(r#"{"order_id": 2}"#).await);
    assert_eq!(retries(r#"{"order_id": 2}"#).await, 0);
    kafka.start().await;
    eventually("the row is published after the outage", SOON, || published(r#"{"order_id": 2}"#)).await;
    assert_eq!(psql("SELECT max(retry_count) FROM outbox").await, "0");
    let order = "SELECT string_agg(payload, ' ' ORDER BY published_at) FROM outbox";
    assert_eq!(psql(order).await, r#"{"order_id": 1} {"order_id": 2}"#);

    // What has no topic waits for it, at no attempt, while others go on.
    psql("SELECT outbox_enqueue('no.such.topic', '7', 'order.lost', 'nowhere')").await;
    psql("SELECT outbox_enqueue('order.created', '8', 'order.created', 'beside')").await;
    relay.wait_line("the topic is missing", SOON).await;
    psql("SELECT outbox_enqueue('order.created', '9', 'order.created', 'later')").await;
    eventually("other keys go on", SOON, async || published("beside").await && published("later").await).await;
    assert!(!published("nowhere").await);
    assert_eq!(psql("SELECT max(retry_count) FROM outbox").await, "0");

    // The topic comes, and so does its message.
    kafka.create("no.such.topic", 1, &[]).await;
    eventually("the late topic gets its message", SOON, || published("nowhere")).await;
    assert_eq!(kafka.consume("no.such.topic").await.len(), 1);
    terminate(&mut relay).await;
}
