use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use tokio::time::{sleep, timeout};

use super::builder::RelayBuilder;
use super::check::Checked;
use super::machine::{Before, Machine, Mode};
use super::observer::{Observer, RelayEvent, RelayHandle};
use super::policy::{Backoff, Jitter, Policy, Random};
use super::session::{End, LOOK, Session};
use super::{Relay, RelayError, Shutdown};
use crate::{AcquireRequest, Acquired, Store, StoreError, Transport, clock};

/// Waits between attempts to reach a database that is away.
const RETRY: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1), jitter: Jitter::Half };
/// The same where the lease was had, and its session failed: what it handed over may come again each time.
const IN_VAIN: Backoff = Backoff { max: Duration::from_secs(5), ..RETRY };
/// At most this long, and at least a fiftieth of it, between two looks at a lease that another process holds.
const STANDBY: Duration = Duration::from_secs(1);

/// A relay from one store to one transport. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StoreRelay(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Arc<dyn Store>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) policy: Policy,
    pub(super) request: AcquireRequest,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) handle: RelayHandle,
    pub(super) checked: Checked,
}

impl Inner {
    pub(super) fn tell(&self, event: &RelayEvent) {
        match event {
            RelayEvent::Lost { error } => tracing::warn!(relay = self.request.relay, error, "the lease ended"),
            RelayEvent::Outage { error } => {
                let error = error.as_deref().unwrap_or("it said nothing");
                tracing::warn!(relay = self.request.relay, error, "the transport does not answer; messages wait");
            }
            RelayEvent::DeadLetter { id, topic, event_type, reason, attempts, .. } => {
                let relay = &self.request.relay;
                tracing::warn!(relay, %id, topic, event_type, reason, attempts, "a message became a dead letter");
            }
            RelayEvent::Blocked { error, .. } => {
                tracing::warn!(relay = self.request.relay, error, "a message has no attempt left; its key waits");
            }
            RelayEvent::Isolating { crashes } => {
                let text = "processes ended without progress; one message at a time is handed over";
                tracing::warn!(relay = self.request.relay, crashes, "{text}");
            }
            RelayEvent::DestinationHeld { topic, error } => {
                tracing::warn!(relay = self.request.relay, topic, error, "the topic is missing; its messages wait");
            }
            RelayEvent::Finding(finding) => tracing::warn!(relay = self.request.relay, "{finding}"),
            event => tracing::info!(relay = self.request.relay, ?event),
        }
        if let Some(observer) = &self.observer {
            observer.on_event(&self.request.relay, event);
        }
    }
}

impl StoreRelay {
    /// A relay named `name`. The name is the cursor: the same name goes on where it stopped.
    pub fn builder(name: impl Into<String>, store: impl Store, transport: impl Transport) -> RelayBuilder {
        RelayBuilder::new(name.into(), Arc::new(store), Arc::new(transport))
    }

    pub(super) fn new(shared: Inner) -> Self {
        Self(Arc::new(shared))
    }

    /// Runs until `shutdown` completes, then drains. See [`Relay::run_until`].
    ///
    /// # Errors
    /// As [`Relay::run_until`].
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), RelayError> {
        self.run_until(Box::pin(shutdown)).await
    }

    /// One lease: acquired, worked under, given up. `failed`: the one before ended with an error.
    async fn session(
        &self,
        mode: Mode,
        failed: bool,
        leased: &mut bool,
        stop: &mut (dyn Future<Output = ()> + Send + Unpin),
    ) -> Result<Step, StoreError> {
        let shared = &*self.0;
        // Before the lease: what is changed from now on shows as another revision.
        let orders = tokio::select! {
            biased;
            orders = shared.store.orders(&shared.request.relay) => orders?,
            () = &mut *stop => return Ok(Step::Stopped),
        };
        if orders.paused {
            return Ok(Step::Paused);
        }
        let asked = clock::now();
        let mut acquiring = shared.store.acquire(&shared.request);
        let acquired = tokio::select! {
            biased;
            acquired = &mut acquiring => acquired?,
            () = &mut *stop => {
                // It may have the lease by now, and a successor must not wait for that to expire.
                let give_back = async {
                    if let Ok(Acquired::Yes(lease, _)) = acquiring.await {
                        _ = shared.store.release(&lease).await;
                    }
                };
                _ = timeout(shared.policy.drain_deadline, give_back).await;
                return Ok(Step::Stopped);
            }
        };
        let (lease, parked) = match acquired {
            Acquired::Yes(lease, parked) => (lease, parked),
            Acquired::Held(wait) => return Ok(Step::Held(wait)),
        };
        *leased = true;
        shared.handle.update(|s| (s.active, s.connected) = (true, true));
        shared.tell(&RelayEvent::Acquired { epoch: lease.epoch });
        let seed = (shared.request.owner >> 64) as u64 ^ lease.epoch.cast_unsigned();
        let capabilities = shared.transport.capabilities();
        let crashes = shared.store.crashes(&lease).await.inspect_err(|_| shared.handle.update(|s| s.active = false))?;
        let before = Before { parked, paused_keys: orders.paused_keys, crashes, failed };
        let machine = Machine::new(shared.policy.clone(), &capabilities, mode, before, seed, asked, clock::now());
        let (revision, look_at) = (orders.revision, Some(clock::now() + LOOK));
        let session = Session { shared, lease, machine, wakeups: shared.store.wakeups(), revision, look_at };
        let ended = session.run(stop).await;
        shared.handle.update(|s| (s.active, s.destinations_held, s.blocked) = (false, 0, 0));
        Ok(match ended? {
            End::Finished => {
                shared.tell(&RelayEvent::Released);
                Step::Finished
            }
            End::Changed => Step::Changed,
            End::Overdue => Step::Overdue,
        })
    }

    fn timed_out(&self, timeout: Duration) -> RelayError {
        let stats = self.handle().stats();
        let relay = self.0.request.relay.clone();
        RelayError::TimedOut { relay, timeout, left: stats.window, parked: stats.parked }
    }

    fn fatal(&self, source: StoreError) -> RelayError {
        RelayError::Store { relay: self.0.request.relay.clone(), source }
    }

    /// Lease after lease, until a session ends by itself (`true`) or `stop` completes (`false`).
    async fn sessions(&self, mode: Mode, mut stop: Stop) -> Result<bool, RelayError> {
        let mut random = Random(self.0.request.owner as u64);
        // One that is polled to its end shows nothing afterwards.
        let stopped = stop.clone();
        let (mut failures, mut standing_by, mut paused, mut failed) = (0, false, false, false);
        loop {
            let started = clock::now();
            let mut leased = false;
            let step = self.session(mode, failed, &mut leased, &mut stop).await;
            failed = step.is_err();
            let was_paused = std::mem::replace(&mut paused, matches!(step, Ok(Step::Paused)));
            let wait = match step {
                Ok(Step::Finished) => return Ok(stopped.peek().is_none()),
                Ok(Step::Stopped) => return Ok(false),
                Ok(Step::Overdue) => return Err(self.timed_out(self.0.policy.drain_deadline)),
                Ok(Step::Held(wait)) => {
                    if !std::mem::replace(&mut standing_by, true) {
                        self.0.tell(&RelayEvent::Standby);
                    }
                    failures = 0;
                    wait.clamp(STANDBY / 50, STANDBY)
                }
                Ok(Step::Paused) => {
                    if !was_paused {
                        self.0.tell(&RelayEvent::Paused);
                    }
                    LOOK
                }
                Ok(Step::Changed) => Duration::ZERO,
                Err(e) if e.is_transient() => {
                    standing_by = false;
                    failures =
                        if clock::now().saturating_duration_since(started) > IN_VAIN.max { 1 } else { failures + 1 };
                    self.0.tell(&RelayEvent::Lost { error: crate::error::chain(&e) });
                    if leased { IN_VAIN } else { RETRY }.after(failures, random.next())
                }
                Err(e) => return Err(self.fatal(e)),
            };
            if timeout(wait, stopped.clone()).await.is_ok() {
                return Ok(false);
            }
        }
    }
}

/// Completes when the relay is to stop.
type Stop = Shared<BoxFuture<'static, ()>>;

enum Step {
    Finished,
    Stopped,
    Overdue,
    Held(Duration),
    Paused,
    Changed,
}

#[async_trait]
impl Relay for StoreRelay {
    async fn run_until(&self, shutdown: Shutdown) -> Result<(), RelayError> {
        let ended = self.sessions(Mode::Run, shutdown.shared()).await;
        if let Err(e) = self.0.transport.close().await {
            tracing::warn!(relay = self.0.request.relay, error = %e, "the transport did not close cleanly");
        }
        ended.map(drop)
    }

    async fn run_once(&self) -> Result<u64, RelayError> {
        let before = self.handle().stats().delivered;
        let mut never = std::future::pending();
        match self.session(Mode::Once, false, &mut false, &mut never).await.map_err(|e| self.fatal(e))? {
            Step::Held(retry_in) => Err(RelayError::Standby { relay: self.0.request.relay.clone(), retry_in }),
            Step::Paused => Err(RelayError::Paused { relay: self.0.request.relay.clone() }),
            Step::Finished | Step::Stopped | Step::Overdue | Step::Changed => {
                Ok(self.handle().stats().delivered - before)
            }
        }
    }

    async fn until_drained(&self, limit: Duration) -> Result<u64, RelayError> {
        let before = self.handle().stats().delivered;
        match self.sessions(Mode::UntilDrained, sleep(limit).boxed().shared()).await {
            Ok(true) => Ok(self.handle().stats().delivered - before),
            Ok(false) | Err(RelayError::TimedOut { .. }) => Err(self.timed_out(limit)),
            Err(e) => Err(e),
        }
    }

    fn handle(&self) -> RelayHandle {
        self.0.handle.clone()
    }
}
