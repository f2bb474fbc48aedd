//! What is found before the first publish.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use outbox_amqp::QueueKind;

use super::*;

async fn found(transport: &AmqpTransport, topics: &[&str]) -> Vec<String> {
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let found = transport.check(&topics).await.expect("an answer");
    found.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_with_advice() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("there", true).await;
    let transport = connect(broker.url());
    assert_eq!(found(&transport, &[&topic]).await, Vec::<String>::new());
    let seen = found(&transport, &["missing-a", &topic, "missing-b"]).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[0].contains("missing-a") && seen[0].contains("NOT_FOUND") && seen[0].contains("declare"), "{seen:?}");
    assert_eq!(
        publish(&transport, &numbers(&topic, 0..1), SOON).await,
        [Outcome::Delivered],
        "the connection is whole"
    );

    let config = AmqpConfig::new(broker.url()).exchange("never-declared");
    let seen = found(&AmqpTransport::connect(config).expect("valid settings"), &[&topic]).await;
    assert!(seen.len() == 1 && seen[0].contains("never-declared"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_durable_is_named_and_left_as_it_is() {
    let broker = RabbitMq::shared().await;
    let topic = format!("{}-transient", broker.queue("check", false).await);
    let options = QueueDeclareOptions { exclusive: false, auto_delete: true, ..QueueDeclareOptions::default() };
    let channel = broker.channel().await;
    channel.queue_declare(topic.as_str().into(), options, FieldTable::default()).await.expect("a transient queue");
    let transport = connect(broker.url());
    for _ in 0..2 {
        let seen = found(&transport, &[&topic]).await;
        assert!(seen.len() == 1 && seen[0].contains(&topic) && seen[0].contains("not durable"), "{seen:?}");
    }
    for quorum in [false, true] {
        let durable = broker.queue("check", quorum).await;
        assert_eq!(found(&transport, &[&durable]).await, Vec::<String>::new(), "quorum: {quorum}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_declared_where_that_is_wanted() {
    let broker = RabbitMq::shared().await;
    let name = broker.queue("declared", true).await;
    for (kind, label) in [(QueueKind::Quorum, "quorum"), (QueueKind::Classic, "classic")] {
        let (topic, exchange) = (format!("{name}-{label}"), format!("{name}-{label}-exchange"));
        let config = AmqpConfig::new(broker.url()).declare(kind);
        let plain = AmqpTransport::connect(config.clone()).expect("valid settings");
        let named = AmqpTransport::connect(config.exchange(&exchange)).expect("valid settings");
        for transport in [&plain, &named] {
            // Twice: it is there then.
            for _ in 0..2 {
                assert_eq!(found(transport, &[&topic]).await, Vec::<String>::new());
            }
            assert_eq!(publish(transport, &numbers(&topic, 0..1), SOON).await, [Outcome::Delivered]);
        }
        assert_eq!(broker.take(&topic).await.len(), 2);
    }
    // Without exact topics there is nothing to declare.
    let config = AmqpConfig::new(broker.url()).declare(QueueKind::Quorum);
    let seen = found(&AmqpTransport::connect(config).expect("valid settings"), &[]).await;
    assert!(seen.len() == 1 && seen[0].contains("declare") && seen[0].contains("name them in `topics`"), "{seen:?}");
    assert_eq!(found(&connect(broker.url()), &[]).await, Vec::<String>::new());
    // One that is there and differs is reported and left as it is.
    let config = AmqpConfig::new(broker.url()).declare(QueueKind::Classic);
    let seen = found(&AmqpTransport::connect(config).expect("valid settings"), &[&name]).await;
    assert!(seen.len() == 1 && seen[0].contains("PRECONDITION_FAILED"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_no_finding() {
    let transport = connect(&format!("amqp://user:hunter2@127.0.0.1:{}", testkit::free_port()));
    let error = transport.check(&["orders".into()]).await.expect_err("nobody answers").to_string();
    assert!(error.contains("127.0.0.1") && !error.contains("hunter2"), "{error}");
}
