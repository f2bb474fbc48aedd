use outbox_core::{Transport, async_trait};
use outbox_kafka::{KafkaConfig, KafkaTransport};
use stores::Delivery;
use testkit::Kafka;

use super::{Broker, LARGEST};

/// Kafka 4, killed and started again.
#[derive(Debug)]
pub struct KafkaBroker(Kafka);

impl KafkaBroker {
    /// A container of its own.
    pub async fn start() -> Self {
        Self(Kafka::own().await)
    }

    /// The same, but clients are told to come by this port, where a proxy stands.
    pub async fn start_behind(proxy_port: u16) -> Self {
        Self(Kafka::own_behind(proxy_port).await)
    }

    /// The server itself.
    #[must_use]
    pub fn server(&self) -> &Kafka {
        &self.0
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    fn name(&self) -> &'static str {
        "Kafka"
    }

    fn fault(&self) -> &'static str {
        "killed"
    }

    async fn place(&self, name: &str) -> anyhow::Result<String> {
        self.0.create(name, 3, &[("max.message.bytes", &LARGEST.to_string())]).await;
        Ok(name.to_owned())
    }

    async fn transport(&self) -> anyhow::Result<Box<dyn Transport>> {
        Ok(Box::new(KafkaTransport::connect(KafkaConfig::new(self.0.bootstrap()))?))
    }

    async fn fail(&self) {
        self.0.kill().await;
    }

    async fn recover(&self) {
        self.0.start().await;
    }

    async fn read(&self, topic: &str) -> anyhow::Result<Vec<Delivery>> {
        let records = self.0.consume(topic).await;
        let delivery = |r: testkit::KafkaRecord| Delivery {
            id: r.header("message-id").unwrap_or("none").to_owned(),
            key: r.key().map(str::to_owned),
            payload: r.text().to_owned(),
        };
        Ok(records.into_iter().map(delivery).collect())
    }
}
