use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm};
use outbox::amqp::{AmqpConfig, AmqpTransport};
use outbox::wire::MESSAGE_KEY;
use outbox::{Batch, MessageRef, Transport, async_trait};
use testkit::RabbitMq;

use super::contest::{Bare, Contest};

/// Publishes that are handed to the client at once.
const CHUNK: usize = 128;
/// Publishes under way.
const IN_FLIGHT: usize = 1_000;

/// lapin with publishes joined by the hundred on one channel, to a quorum queue.
pub(crate) struct AmqpContest(RabbitMq);

impl AmqpContest {
    pub(crate) async fn start() -> Self {
        Self(RabbitMq::own_on_host().await)
    }

    async fn connect(&self) -> Result<(Connection, Channel)> {
        let connection = Connection::connect(self.0.url(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }
}

#[async_trait]
impl Contest for AmqpContest {
    fn name(&self) -> &'static str {
        "RabbitMQ"
    }

    fn sizes(&self) -> (usize, usize) {
        (40_000, 2_000)
    }

    fn target_with_one_key(&self) -> bool {
        false
    }

    async fn place(&self, name: &str) -> Result<String> {
        let (_connection, channel) = self.connect().await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.into(), durable, quorum).await?;
        Ok(name.to_owned())
    }

    async fn stored(&self, topic: &str) -> Result<u64> {
        let (_connection, channel) = self.connect().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(topic.into(), passive, FieldTable::default()).await?;
        Ok(queue.message_count().into())
    }

    async fn empty(&self, topic: &str) -> Result<()> {
        let (_connection, channel) = self.connect().await?;
        channel.queue_purge(topic.into(), QueuePurgeOptions::default()).await?;
        Ok(())
    }

    async fn transport(&self) -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(AmqpTransport::connect(AmqpConfig::new(self.0.url()))?))
    }

    async fn bare(&self, one_key: bool) -> Result<Box<dyn Bare>> {
        let (connection, channel) = self.connect().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (chunk, in_flight) = if one_key { (1, 1) } else { (CHUNK, IN_FLIGHT) };
        Ok(Box::new(Client { _connection: connection, channel, chunk, in_flight }))
    }
}

struct Client {
    _connection: Connection,
    channel: Channel,
    chunk: usize,
    in_flight: usize,
}

#[async_trait]
impl Bare for Client {
    async fn publish(&mut self, batches: Vec<Batch>) -> Result<()> {
        let mut confirms = VecDeque::with_capacity(self.in_flight);
        for batch in &batches {
            for from in (0..batch.len()).step_by(self.chunk) {
                while confirms.len() + self.chunk > self.in_flight {
                    confirmed(confirms.pop_front()).await?;
                }
                let chunk = (from..batch.len().min(from + self.chunk)).map(|i| self.send(batch.get(i)));
                confirms.extend(try_join_all(chunk).await?);
            }
        }
        while !confirms.is_empty() {
            confirmed(confirms.pop_front()).await?;
        }
        Ok(())
    }
}

async fn confirmed(confirm: Option<PublisherConfirm>) -> Result<()> {
    if let Some(confirm) = confirm {
        let said = confirm.await?;
        ensure!(matches!(said, Confirmation::Ack(None)), "not confirmed: {said:?}");
    }
    Ok(())
}

impl Client {
    async fn send(&self, m: MessageRef<'_>) -> Result<PublisherConfirm> {
        let mut headers = FieldTable::default();
        headers.insert(MESSAGE_KEY.into(), AMQPValue::LongString(m.key().unwrap_or_default().into()));
        let properties = BasicProperties::default()
            .with_message_id(m.id().to_string().into())
            .with_type(m.event_type().into())
            .with_content_type(m.content_type().unwrap_or_default().into())
            .with_timestamp(u64::try_from(m.created_at_micros())? / 1_000_000)
            .with_delivery_mode(2)
            .with_headers(headers);
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        Ok(self.channel.basic_publish("".into(), m.topic().into(), mandatory, m.payload(), properties).await?)
    }
}
