//! # Why the order of a key holds with `OneInFlight`
//! - The next message of a key is handed over when the one before was acknowledged, so its first copy is stored by
//!   then. What is left of it anywhere is a further copy: a duplicate, which the stream drops within its window.
//! - A message that was given up and is sent again by the same client goes behind its first copy on one connection, and
//!   so does everything that comes after it.
//! - A client that lost its connection, takes nothing more or is not answered ends with all that it holds (see
//!   `Client`). What it had put on the wire may still arrive, as it was sent, and nothing else: so a message that was
//!   declared dead after it waited out the publish deadline comes late only where the server itself had stood still for
//!   longer.
//! - Nothing rests on the client connecting again: it drops what it had written and keeps what it had not, so later
//!   messages would pass earlier ones.
//!
//! With `Gapless`, see `gapless.rs`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outbox_core::{Batch, BoxError, Finding, Outcomes, Transport, TransportCapabilities, async_trait};
use tokio::sync::MutexGuard;
use tokio::task::unconstrained;
use tokio::time::timeout;

use crate::client::Client;
use crate::config::Settings;
use crate::publish::Publish;
use crate::waiting::Waiting;
use crate::{NatsConfig, NatsConfigError};

/// How long `close` waits for the end of the connection.
const LAST: Duration = Duration::from_secs(2);

/// Publishes to NATS JetStream. See the crate's documentation for what a message carries.
///
/// The relay's publish deadline should be 3 s longer than [`NatsConfig::ack_timeout`] (default 5 s).
pub struct NatsTransport {
    settings: Arc<Settings>,
    capabilities: TransportCapabilities,
    /// One that died stays until the next one is needed: what of it has not ended is looked at then.
    current: Mutex<Option<Arc<Client>>>,
    /// With `Gapless`, held by a publish from its first poll to its end.
    turn: tokio::sync::Mutex<()>,
}

impl NatsTransport {
    /// Checks the settings. The server is connected at the first use, and may be absent.
    ///
    /// # Errors
    /// For a setting that cannot work, by name.
    pub fn connect(config: NatsConfig) -> Result<Self, NatsConfigError> {
        let capabilities = config.capabilities();
        Ok(Self {
            settings: Arc::new(config.settings()?),
            capabilities,
            current: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Client>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client to use now: a new one in place of one that died. With `Gapless` only when all publishes of that one
    /// have ended: until then nobody knows yet what it has not stored, and nothing may come in front of that.
    fn client(&self, current: &mut Option<Arc<Client>>) -> Result<Arc<Client>, String> {
        if let Some(client) = current {
            match client.confirmations.dead() {
                None => return Ok(client.clone()),
                Some(why) if self.settings.atomic_batches && !client.confirmations.is_idle() => return Err(why.into()),
                Some(_) => {}
            }
        }
        let client = Arc::new(Client::start(self.settings.clone()));
        *current = Some(client.clone());
        Ok(client)
    }
}

/// A publish that is dropped before its end. What it sent is before everything that the same client sends later, so
/// with `OneInFlight` the client can be used further, if it is alive. With `Gapless` it takes the client with it: what
/// was decided on behind it must not be stored in front of what it has not sent.
struct Guard<'a> {
    gapless: bool,
    client: Arc<Client>,
    publish: usize,
    answers: usize,
    complete: bool,
    turn: Option<MutexGuard<'a, ()>>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let confirmations = &self.client.confirmations;
        if !self.complete && (self.gapless || confirmations.answers() == self.answers) {
            confirmations.die("nothing was answered before the publish deadline");
        }
        self.client.confirmations.forget(self.publish);
        // Now: the next publish is to find what is said here.
        drop(self.turn.take());
    }
}

#[async_trait]
impl Transport for NatsTransport {
    fn capabilities(&self) -> TransportCapabilities {
        self.capabilities
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        if batch.is_empty() {
            return;
        }
        let unknown = |why: &str| (0..batch.len()).for_each(|i| out.unknown(i, why));
        let waiting = Arc::new(Waiting::new(out));
        let begun = {
            let mut current = self.current();
            self.client(&mut current).map(|client| (client.confirmations.expect(waiting.clone()), client))
        };
        let (publish, client) = match begun {
            Ok(begun) => begun,
            Err(why) => return unknown(&why),
        };
        let answers = client.confirmations.answers();
        let gapless = self.settings.atomic_batches;
        let mut guard = Guard { client: client.clone(), publish, answers, complete: false, gapless, turn: None };
        if gapless {
            // Unconstrained: a batch takes its place when it is first polled, whatever else the task has done.
            guard.turn = Some(unconstrained(self.turn.lock()).await);
        }
        match client.connected().await {
            Ok(connected) => {
                let settings = &*self.settings;
                let confirmations = &*client.confirmations;
                Publish {
                    settings,
                    confirmations,
                    connected: &connected,
                    waiting: &waiting,
                    batch: &batch,
                    publish,
                    out,
                }
                .run()
                .await;
            }
            Err(why) => unknown(&why),
        }
        guard.complete = true;
    }

    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        let client = self.client(&mut self.current())?;
        let connected = client.connected().await?;
        crate::check::check(&self.settings, &connected, topics).await
    }

    async fn close(&self) -> Result<(), BoxError> {
        // Where another relay publishes by it, it ends with this transport.
        let client = self.current().take_if(|client| client.confirmations.is_idle());
        let Some(client) = client else { return Ok(()) };
        client.confirmations.die("the transport was closed");
        match timeout(LAST, client.ended()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(format!("the connection did not end within {LAST:?}").into()),
        }
    }
}

impl fmt::Debug for NatsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &*self.settings;
        f.debug_struct("NatsTransport")
            .field("capabilities", &self.capabilities)
            .field("wire", &settings.wire)
            .field("ack_timeout", &settings.ack_timeout)
            .field("api", &settings.api)
            .field("declare", &settings.declare)
            .finish_non_exhaustive()
    }
}
