use std::fmt;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use outbox_core::wire::WireFormat;
use outbox_core::{Batch, BoxError, Finding, KeyOrder, Outcomes, Transport, TransportCapabilities, async_trait};
use rdkafka::ClientConfig;
use tokio::sync::Mutex;
use tokio::task::unconstrained;

use crate::check::Check;
use crate::client::Client;
use crate::config::Declare;
use crate::confirm::Waiting;
use crate::handover::Handover;
use crate::token::Tokens;
use crate::{KafkaConfig, KafkaConfigError};

/// How long requests carry one message each after a broker refused a request for one of its messages.
const SINGLY: Duration = Duration::from_secs(30);
/// A batch spreads over the partitions of a topic, and each of these is to have several requests of many messages under
/// way: with 16 in place of 8, six partitions take a tenth more.
const PUBLISHES: usize = 16;
/// How long `close` waits for what is on its way.
const LAST: Duration = Duration::from_secs(5);

/// Publishes to Kafka. See the crate's documentation for what a record carries.
///
/// The relay's publish deadline should be 3 s or more (default 10 s): a topic that is not there is known after 1 s, and
/// a client that has not answered by then is thrown away with all that it holds. Up to 16 publishes are under way,
/// 8,000 messages with the relay's defaults: where the brokers take less than 800 a second (a quota does that), set its
/// `batch` lower.
///
/// A request that the broker refused for one message in it (`max.message.bytes` of a topic, a null key on a compacted
/// topic) does not tell which: for the next 30 s requests carry one message each, so that only that one is rejected.
pub struct KafkaTransport {
    settings: ClientConfig,
    tokens: Option<Tokens>,
    capabilities: TransportCapabilities,
    format: WireFormat,
    /// The largest record, in bytes.
    record: usize,
    declare: Option<Declare>,
    /// Held while a batch is handed to the client for the first time: of each key batches never mix.
    handing_over: Mutex<()>,
    current: StdMutex<Current>,
}

#[derive(Debug)]
struct Current {
    client: Option<Arc<Client>>,
    singly_until: Option<Instant>,
}

impl KafkaTransport {
    /// Checks the settings and makes a client. The brokers are connected later, and may be absent.
    ///
    /// # Errors
    /// For a setting that cannot work, by name. For [tokens](KafkaConfig::tokens) outside of a tokio runtime.
    pub fn connect(config: KafkaConfig) -> Result<Self, KafkaConfigError> {
        let settings = config.client()?;
        let tokens = config.tokens.clone().map(Tokens::new).transpose()?;
        let client = Arc::new(Client::new(&settings, tokens.clone(), false, None)?);
        Ok(Self {
            settings,
            tokens,
            capabilities: TransportCapabilities::new()
                .key_order(KeyOrder::Gapless)
                .limits(config.limits())
                .publishes(PUBLISHES),
            format: config.wire_format().clone(),
            record: config.largest_record(),
            declare: config.declaration(),
            handing_over: Mutex::default(),
            current: StdMutex::new(Current { client: Some(client), singly_until: None }),
        })
    }

    /// A publish by the client to use now: a new one in place of one that died, when all publishes of that one have
    /// ended. Until then nobody knows yet what it has not stored, and nothing may come in front of that.
    fn begin(&self, out: &Outcomes) -> Result<Guard, String> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let client = self.client(&mut current)?;
        let (publish, waiting) = client.confirmations.expect(out);
        Ok(Guard { client, publish, waiting, complete: false })
    }

    fn client(&self, current: &mut Current) -> Result<Arc<Client>, String> {
        let mut complaint = None;
        if let Some(client) = &current.client {
            if !client.confirmations.is_dead() {
                return Ok(client.clone());
            }
            if !client.confirmations.is_idle() {
                return Err(client.confirmations.why());
            }
            complaint = client.confirmations.complaint();
            if client.confirmations.was_refused() {
                current.singly_until = Some(Instant::now() + SINGLY);
            }
        }
        let singly = current.singly_until.is_some_and(|until| Instant::now() < until);
        let client = Client::new(&self.settings, self.tokens.clone(), singly, complaint);
        let client = Arc::new(client.map_err(|e| format!("no client of Kafka could be made: {e}"))?);
        current.client = Some(client.clone());
        Ok(client)
    }
}

impl fmt::Debug for KafkaTransport {
    /// Without the client's settings: private keys and tokens are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaTransport")
            .field("capabilities", &self.capabilities)
            .field("format", &self.format)
            .field("declare", &self.declare)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

/// A publish that ends before its last confirmation takes the whole client with it: a message that is sent again by the
/// same client could come behind later ones of its key.
struct Guard {
    client: Arc<Client>,
    publish: usize,
    waiting: Arc<Waiting>,
    complete: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.complete {
            self.waiting.give_up(&self.client.confirmations.why());
            self.client.discard();
        }
        self.client.confirmations.forget(self.publish);
    }
}

#[async_trait]
impl Transport for KafkaTransport {
    fn capabilities(&self) -> TransportCapabilities {
        self.capabilities
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        if batch.is_empty() {
            return;
        }
        // Before anything is waited for: a batch goes by the client that it was decided on for, or by none.
        let mut guard = match self.begin(out) {
            Ok(guard) => guard,
            Err(why) => return (0..batch.len()).for_each(|i| out.unknown(i, why.as_str())),
        };
        let (client, waiting, publish) = (guard.client.clone(), guard.waiting.clone(), guard.publish);
        let sent = {
            // Unconstrained: a batch takes its place when it is first polled, whatever else the task has done.
            let turn = unconstrained(self.handing_over.lock()).await;
            let sent = Handover { client: &client, batch: &batch, publish, out, format: &self.format }.run(turn).await;
            waiting.less(batch.len() - sent);
            sent
        };
        tokio::select! {
            () = waiting.done() => {}
            () = client.confirmations.died() => {
                client.discard();
                waiting.done().await;
            }
        }
        if sent < batch.len() {
            // What the client did not take any more.
            waiting.give_up(&client.confirmations.why());
        }
        guard.complete = true;
    }

    /// Of each topic: whether it exists and has a leader, more than one replica, `min.insync.replicas` of 2 or more and
    /// no unclean elections; whether it takes the largest payload; whether it is compacted. Takes 10 s at most.
    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        if topics.is_empty() {
            let unused = self.declare.map(|_| {
                let what = "KafkaConfig::declare is set, and the relay names no exact topics: none is created";
                Finding::new(what, "name them in `topics` of the relay, or create them by hand")
            });
            return Ok(unused.into_iter().collect());
        }
        let (settings, tokens, topics) = (self.settings.clone(), self.tokens.clone(), topics.to_vec());
        Check { settings, tokens, topics, record: self.record, declare: self.declare }.run().await
    }

    async fn close(&self) -> Result<(), BoxError> {
        let client = self.current.lock().unwrap_or_else(PoisonError::into_inner).client.clone();
        let Some(client) = client else { return Ok(()) };
        if !client.confirmations.is_idle() {
            // Another relay publishes by it. It ends with this transport.
            return Ok(());
        }
        let flushed = tokio::task::spawn_blocking({
            let client = client.clone();
            move || client.flush(LAST)
        });
        let flushed = flushed.await;
        {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |c: &mut Arc<Client>| Arc::ptr_eq(c, &client) && c.confirmations.is_idle();
            _ = current.client.take_if(idle);
        }
        match flushed {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("not everything was confirmed within {LAST:?}; it is sent again").into()),
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_options_are_never_printed() {
        let mut config = KafkaConfig::new("localhost:1").option("client.id", "hunter2");
        if cfg!(feature = "ssl") {
            config = config.option("ssl.key.pem", "hunter2").option("sasl.oauthbearer.config", "hunter2");
        }
        let transport = KafkaTransport::connect(config).expect("valid settings");
        let shown = format!("{transport:?} {transport:#?}");
        assert!(shown.contains("capabilities") && !shown.contains("hunter2"), "{shown}");
    }
}
