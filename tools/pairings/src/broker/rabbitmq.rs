use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use lapin::message::Delivery as Got;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use outbox_amqp::{AmqpConfig, AmqpTransport};
use outbox_core::{Transport, async_trait};
use stores::Delivery;
use testkit::RabbitMq;
use tokio::time::timeout;

use super::Broker;

/// What is counted in a queue arrives within this time.
const SOON: Duration = Duration::from_secs(30);

/// RabbitMQ 4 with quorum queues, killed and started again.
#[derive(Debug)]
pub struct RabbitMqBroker(RabbitMq);

impl RabbitMqBroker {
    /// A container of its own.
    pub async fn start() -> Self {
        Self(RabbitMq::own().await)
    }

    /// The server itself.
    #[must_use]
    pub fn server(&self) -> &RabbitMq {
        &self.0
    }

    async fn connection(&self) -> anyhow::Result<Connection> {
        Ok(Connection::connect(self.0.url(), ConnectionProperties::default()).await?)
    }
}

#[async_trait]
impl Broker for RabbitMqBroker {
    fn name(&self) -> &'static str {
        "RabbitMQ"
    }

    fn fault(&self) -> &'static str {
        "killed"
    }

    async fn place(&self, name: &str) -> anyhow::Result<String> {
        let connection = self.connection().await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        // Held until the answer is there: a channel that is dropped is closed.
        let channel = connection.create_channel().await?;
        channel.queue_declare(name.into(), durable, quorum).await?;
        connection.close(200, "declared".into()).await?;
        Ok(name.to_owned())
    }

    async fn transport(&self) -> anyhow::Result<Box<dyn Transport>> {
        Ok(Box::new(AmqpTransport::connect(AmqpConfig::new(self.0.url()))?))
    }

    async fn fail(&self) {
        self.0.kill().await;
    }

    async fn recover(&self) {
        self.0.start().await;
    }

    async fn read(&self, topic: &str) -> anyhow::Result<Vec<Delivery>> {
        let connection = self.connection().await?;
        let channel = connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let stored = channel.queue_declare(topic.into(), passive, FieldTable::default()).await?.message_count();
        let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let mut messages = channel.basic_consume(topic.into(), "".into(), no_ack, FieldTable::default()).await?;
        let mut read = Vec::new();
        while read.len() < stored as usize {
            let next = timeout(SOON, messages.next()).await;
            let next = next.with_context(|| format!("{} of {stored} messages came", read.len()))?;
            read.push(delivery(next.context("the queue is gone")??));
        }
        let left = channel.queue_declare(topic.into(), passive, FieldTable::default()).await?.message_count();
        ensure!(left == 0, "{left} messages are left in {topic}");
        connection.close(200, "read".into()).await?;
        Ok(read)
    }
}

fn delivery(got: Got) -> Delivery {
    let key = got.properties.headers().as_ref().and_then(|table| table.inner().get("message-key"));
    let key = match key {
        Some(AMQPValue::LongString(key)) => Some(key.to_string()),
        _ => None,
    };
    let id = got.properties.message_id().as_ref().map_or("none", |id| id.as_str()).to_owned();
    Delivery { id, key, payload: String::from_utf8_lossy(&got.data).into_owned() }
}
