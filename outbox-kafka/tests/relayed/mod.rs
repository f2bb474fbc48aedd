//! A relay to Kafka with a ledger of what must arrive.

use std::time::Duration;

use outbox_kafka::{KafkaConfig, KafkaTransport};
use testkit::{Copy, Kafka, Relayed};

pub(crate) fn start(kafka: &Kafka) -> Relayed {
    let transport = KafkaTransport::connect(KafkaConfig::new(kafka.bootstrap())).expect("valid settings");
    Relayed::start(transport, Duration::from_secs(1))
}

/// Stops, and judges what the topic has.
pub(crate) async fn end(relayed: Relayed, kafka: &Kafka, topic: &str, max_duplicates: usize) {
    let copy = |record: testkit::KafkaRecord| Copy {
        id: record.header("message-id").expect("an id").to_owned(),
        key: record.key().map(str::to_owned),
        payload: record.payload,
    };
    relayed.end(async || kafka.consume(topic).await.into_iter().map(copy).collect(), max_duplicates).await;
}
