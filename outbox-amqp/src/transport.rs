use outbox_core::transport::Finding;
use outbox_core::{Batch, BoxError, KeyOrder, Outcomes, Transport, TransportCapabilities, async_trait};
use tokio::time::{Instant, timeout};

use crate::check::Check;
use crate::client::Client;
use crate::handover::Handover;
use crate::{AmqpConfig, AmqpConfigError};

/// Publishes to RabbitMQ. See the crate's documentation for what a message carries.
///
/// There is one connection, and a channel for each publish that is under way. A connection that was lost, or that does
/// not answer, is thrown away; the next publish makes a new one.
///
/// A channel that the broker closes because of one message takes everything with it that is under way there: what is
/// not known then is sent again, one by one, so that only that message is refused. While the broker blocks publishers
/// (its memory or disk alarm is on), nothing is sent, and messages wait in the outbox.
#[derive(Debug)]
pub struct AmqpTransport {
    client: Client,
    capabilities: TransportCapabilities,
}

impl AmqpTransport {
    /// Checks the settings. The broker is connected by the first publish, and may be absent.
    ///
    /// # Errors
    /// For a setting that cannot work.
    pub fn connect(config: AmqpConfig) -> Result<Self, AmqpConfigError> {
        let settings = config.settings()?;
        let capabilities = TransportCapabilities::new().key_order(KeyOrder::OneInFlight).limits(settings.limits);
        Ok(Self { client: Client::new(settings), capabilities })
    }
}

#[async_trait]
impl Transport for AmqpTransport {
    fn capabilities(&self) -> TransportCapabilities {
        self.capabilities
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        if batch.is_empty() {
            return;
        }
        let deadline = Instant::now() + self.client.settings().deadline;
        Handover { client: &self.client, batch: &batch, out, deadline }.run().await;
    }

    /// Looks whether the exchange, or without one the queue of each topic, is there, and declares them if it is
    /// [told to](AmqpConfig::declare); and whether a queue is durable. AMQP does not tell whether an exchange is, nor
    /// what is bound to it, nor the broker's `max_message_size`. Takes the [deadline](AmqpConfig::deadline) at most.
    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        let within = self.client.settings().deadline;
        let asked = async { Check::new(&self.client).await?.run(topics).await };
        let late = |_| format!("RabbitMQ did not answer all questions about the topics within {within:?}");
        timeout(within, asked).await.map_err(late)?
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.client.close().await;
        Ok(())
    }
}
