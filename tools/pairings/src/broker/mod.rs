mod kafka;
mod memory;
mod nats;
mod rabbitmq;
mod sns;

pub use kafka::KafkaBroker;
pub use memory::{MemoryBroker, Planted};
pub use nats::NatsBroker;
pub use rabbitmq::RabbitMqBroker;
pub use sns::SnsBroker;

use std::fmt::Debug;

use outbox_core::{Transport, async_trait};
use stores::Delivery;

/// The brokers that every store must deliver to, as the table calls them.
pub const TRANSPORTS: [&str; 5] = ["Kafka", "RabbitMQ", "NATS 2.15", "NATS 2.10", "SNS FIFO"];

/// Bytes: of a larger message Kafka and NATS say that they do not take it. RabbitMQ has no such limit for one queue.
pub const LARGEST: usize = 500_000;

/// A broker of the run's own, which can be made to fail, and read back.
#[async_trait]
pub trait Broker: Debug + Send + Sync {
    /// Of [`TRANSPORTS`].
    fn name(&self) -> &'static str;

    /// What [`fail`](Self::fail) does, for the table.
    fn fault(&self) -> &'static str;

    /// Makes a place for the messages of one store. Gives the topic by which messages get there.
    async fn place(&self, name: &str) -> anyhow::Result<String>;

    /// A transport of one relay's own.
    async fn transport(&self) -> anyhow::Result<Box<dyn Transport>>;

    /// Returns when the broker is away.
    async fn fail(&self);

    /// Returns when it serves again.
    async fn recover(&self);

    /// All that is stored there: what belongs to one key in the order of its arrival.
    async fn read(&self, topic: &str) -> anyhow::Result<Vec<Delivery>>;
}
