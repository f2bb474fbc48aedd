//! What is looked at before the first publish, and topics that the transport creates.

use std::time::{Duration, Instant};

use outbox_core::transport::Outcome;
use outbox_core::{BatchBuilder, Outcomes, Row, Transport};
use outbox_kafka::{KafkaConfig, KafkaTransport};
use testkit::Kafka;

fn config(kafka: &Kafka) -> KafkaConfig {
    KafkaConfig::from_url(&format!("kafka://{}", kafka.bootstrap())).expect("a URL")
}

async fn check(config: KafkaConfig, topics: &[&str]) -> Vec<String> {
    let transport = KafkaTransport::connect(config).expect("valid settings");
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let found = transport.check(&topics).await.expect("answers of the broker");
    found.iter().map(ToString::to_string).collect()
}

async fn publish(config: KafkaConfig, topic: &str, payload: &[u8]) -> Outcome {
    let mut batch = BatchBuilder::new();
    batch.push(&Row {
        seq: 1,
        id: 1,
        created_at: 0,
        topic,
        key: Some("k"),
        event_type: "e",
        payload,
        content_type: None,
        headers: None,
    });
    let out = Outcomes::new(1);
    let transport = KafkaTransport::connect(config).expect("valid settings");
    transport.publish(batch.finish(), &out).await;
    out.get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_weak_topic_is_found_with_what_to_do() {
    let kafka = Kafka::shared().await;
    let plain = kafka.topic("plain", 2).await;
    let small = kafka.topic_with("small", 1, &[("max.message.bytes", "10000")]).await;
    let compacted = kafka.topic_with("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let stuck = kafka.topic_with("stuck", 1, &[("min.insync.replicas", "2")]).await;
    let absent = Kafka::unused_topic("absent");
    let found = check(config(&kafka), &[&plain, &small, &compacted, &stuck, &absent, "a b", "a\0b"]).await;
    let of = |topic: &str| found.iter().filter(|f| f.contains(topic)).cloned().collect::<Vec<_>>();
    let one = |topic: &str, word: &str| {
        let found = of(topic);
        assert!(found.len() == 2 && found[0].contains("one replica") && found[1].contains(word), "{found:?}");
    };
    assert!(of(&plain).len() == 1 && of(&plain)[0].contains("replication factor"), "{found:?}");
    one(&small, "max.message.bytes");
    one(&compacted, "cleanup.policy");
    one(&stuck, "nothing can be stored");
    assert!(of(&absent).len() == 1 && of(&absent)[0].contains("does not exist"), "{found:?}");
    assert_eq!(found.len(), 10, "{found:?}");
    // To ask must not create it.
    assert_eq!(check(config(&kafka), &[&absent]).await.len(), 1);
    assert_eq!(check(config(&kafka), &[]).await, Vec::<String>::new());
    let found = check(config(&kafka).declare(1, 1), &[]).await;
    assert!(
        found.len() == 1 && found[0].contains("declare") && found[0].contains("name them in `topics`"),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_topic_is_created_as_large_as_its_messages() {
    let kafka = Kafka::shared().await;
    let topic = Kafka::unused_topic("declared");
    let declaring = config(&kafka).max_payload(2_000_000).declare(3, 1);
    let found = check(declaring.clone(), &[&topic]).await;
    assert!(found.len() == 1 && found[0].contains("one replica"), "one broker has one replica: {found:?}");
    // An existing one is left as it is.
    assert_eq!(check(declaring.clone().declare(7, 1), &[&topic]).await, found);
    let payload = vec![b'x'; 2_000_000];
    assert_eq!(publish(declaring, &topic, &payload).await, Outcome::Delivered);
    let records = kafka.consume(&topic).await;
    assert_eq!((records.len(), &records[0].payload), (1, &payload));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_cannot_be_created_is_a_finding() {
    let kafka = Kafka::shared().await;
    let topic = Kafka::unused_topic("too-many");
    let found = check(config(&kafka).declare(1, 3), &[&topic]).await;
    assert!(found.len() == 1 && found[0].contains("could not be created"), "one broker, three replicas: {found:?}");
    assert!(matches!(publish(config(&kafka), &topic, b"x").await, Outcome::Destination(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_it_fails_within_its_time() {
    let nowhere = format!("127.0.0.1:{}", testkit::free_port());
    let transport = KafkaTransport::connect(KafkaConfig::new(nowhere)).expect("valid settings");
    let start = Instant::now();
    transport.check(&["orders".into()]).await.expect_err("no broker");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}
