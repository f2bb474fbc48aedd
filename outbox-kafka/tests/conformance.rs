//! The published suite against a real Kafka, by a proxy where connections are to fail.

use std::sync::{Arc, Mutex, PoisonError};

use outbox_conformance::transport::{Faults, Stored, TransportHarness};
use outbox_core::Message;
use outbox_kafka::{KafkaConfig, KafkaTransport};
use testkit::{Kafka, KafkaRecord, Proxy, free_port};

outbox_conformance::transport_suite!(Harness);

struct Harness {
    kafka: Kafka,
    topics: Mutex<Vec<String>>,
}

impl Harness {
    async fn topic_with(&self, name: &str, settings: &[(&str, &str)]) -> String {
        // The testkit adds 22 bytes that no other topic has.
        let prefix = &name[..name.len().saturating_sub(22).max(name.len().min(18))];
        let topic = self.kafka.topic_with(prefix, 1, settings).await;
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).push(topic.clone());
        topic
    }
}

impl TransportHarness for Harness {
    type Transport = KafkaTransport;

    async fn start() -> Self {
        Self { kafka: Kafka::shared().await, topics: Mutex::default() }
    }

    async fn transport(&self) -> KafkaTransport {
        KafkaTransport::connect(KafkaConfig::new(self.kafka.bootstrap())).expect("valid settings")
    }

    async fn stored(&self) -> Vec<Stored> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut stored = Vec::new();
        for topic in topics {
            stored.extend(self.kafka.consume(&topic).await.into_iter().map(read));
        }
        stored
    }

    async fn topic(&self, name: &str) -> String {
        self.topic_with(name, &[]).await
    }

    async fn faults(&mut self) -> Option<Arc<dyn Faults>> {
        let port = free_port();
        self.kafka = Kafka::own_behind(port).await;
        let upstream = format!("127.0.0.1:{}", self.kafka.direct_port());
        Some(Arc::new(Proxy::start_on(port, upstream).await.expect("a free port")))
    }

    async fn poison(&self) -> Option<Message> {
        let topic = self.topic_with("small", &[("max.message.bytes", "10000")]).await;
        Some(Message::new(topic, "order.created").payload(vec![b'x'; 20_000]))
    }

    async fn nowhere(&self) -> Option<String> {
        Some("never-created".into())
    }
}

fn read(record: KafkaRecord) -> Stored {
    let header = |name| record.header(name).map(str::to_owned);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Stored {
        id: header("message-id").unwrap_or_default(),
        key: record.key.as_deref().map(text),
        event_type: header("event-type").unwrap_or_default(),
        content_type: header("content-type"),
        headers: record.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        topic: record.topic,
        payload: record.payload,
    }
}
