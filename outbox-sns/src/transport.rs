use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sns::Client;
use futures_util::future::join_all;
use outbox_core::transport::Outcome;
use outbox_core::{Batch, BoxError, Finding, KeyOrder, Outcomes, Transport, TransportCapabilities, async_trait};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::carry::Carrier;
use crate::check::Check;
use crate::client::LazyClient;
use crate::requests::Requests;
use crate::topics::Topics;
use crate::wire::Wire;
use crate::{SnsConfig, SnsConfigError};

/// How long SNS drops what is sent again to a FIFO topic.
const DEDUP_WINDOW: Duration = Duration::from_secs(5 * 60);

/// Publishes to SNS. See the crate's documentation for what a message becomes.
#[derive(Debug)]
pub struct SnsTransport {
    config: SnsConfig,
    topics: Topics,
    wire: Wire,
    client: LazyClient,
    capabilities: TransportCapabilities,
    /// Requests that may be under way, of all publishes.
    in_flight: Semaphore,
}

impl SnsTransport {
    /// Checks the settings. Nothing is connected: the client is made at the first publish, from AWS's environment.
    ///
    /// # Errors
    /// For a setting that cannot work, by name.
    pub fn connect(config: SnsConfig) -> Result<Self, SnsConfigError> {
        Self::new(config, None)
    }

    /// The same with a client's credentials, HTTP client and interceptors. Its timeouts, retries and region are those
    /// of `config`; its endpoint too, where one is set there.
    ///
    /// # Errors
    /// For a setting that cannot work, by name.
    pub fn with_client(config: SnsConfig, client: Client) -> Result<Self, SnsConfigError> {
        Self::new(config, Some(client))
    }

    fn new(config: SnsConfig, client: Option<Client>) -> Result<Self, SnsConfigError> {
        let topics = config.topics()?;
        let mut capabilities = TransportCapabilities::new().key_order(KeyOrder::OneInFlight).limits(config.limits());
        if config.is_fifo() {
            capabilities = capabilities.dedup_window(DEDUP_WINDOW);
        }
        Ok(Self {
            client: LazyClient::new(&config, &topics.region, client),
            wire: config.wire(),
            in_flight: Semaphore::new(config.in_flight),
            topics,
            capabilities,
            config,
        })
    }

    /// Carries requests until none is left. The permit is kept: an earlier publish is not held up by a later one, so
    /// that where SNS is slow one is late and not all are.
    async fn work(&self, carrier: Carrier<'_>, requests: &Mutex<Requests<'_>>) {
        let Ok(Ok(permit)) = timeout_at(carrier.give_up, self.in_flight.acquire()).await else { return };
        let next = || requests.lock().unwrap_or_else(PoisonError::into_inner).next();
        while Instant::now() < carrier.give_up
            && let Some(request) = next()
        {
            carrier.carry(request).await;
        }
        drop(permit);
    }
}

#[async_trait]
impl Transport for SnsTransport {
    fn capabilities(&self) -> TransportCapabilities {
        self.capabilities
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let give_up = Instant::now() + self.config.give_up_after;
        let requests = Requests::new(&self.topics, &self.wire, &batch, out);
        if let Ok(client) = timeout_at(give_up, self.client.get()).await {
            let carrier = Carrier { client, wire: &self.wire, batch: &batch, out, give_up };
            let (workers, requests) = (requests.about().min(self.config.in_flight), Mutex::new(requests));
            join_all((0..workers).map(|_| self.work(carrier, &requests))).await;
        }
        // Of what was said already, nothing changes.
        let why = "there was no time left to send it";
        (0..batch.len()).filter(|i| out.get(*i) == Outcome::Unknown(None)).for_each(|i| out.unknown(i, why));
    }

    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        let (client, declare) = (self.client.get().await, self.config.declare);
        let max_message = self.config.max_message();
        Check { client, topics: &self.topics, max_message, declare }.run(topics).await
    }
}
