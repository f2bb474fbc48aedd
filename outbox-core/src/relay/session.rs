//! The thin shell around the machine: one lease, from its acquisition to its end.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep_until, timeout};

use super::bisect;
use super::check::Check;
use super::machine::{Action, Counts, Machine};
use super::observer::{RelayEvent, RelayHandle};
use super::store_relay::Inner;
use crate::admin::Orders;
use crate::{Batch, FetchLimits, Lease, Outcomes, StoreError, Transport, Wakeups, clock};

/// Between two looks at a timer that is due while its work has to wait for something else.
const RECHECK: Duration = Duration::from_millis(10);

/// Between two looks at what was changed at the desk.
pub(super) const LOOK: Duration = Duration::from_millis(700);

/// What an action ended in.
enum Done {
    Fetched(Result<Batch, StoreError>),
    Read(Vec<i64>, Result<Batch, StoreError>),
    Published(u64, Outcomes),
    Settled(Result<(), StoreError>),
    Noted(Result<(), StoreError>),
    Looked(Result<Orders, StoreError>),
}

/// How a session ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself or by a drain; all is settled and the lease was given up.
    Finished,
    /// Something was changed at the desk; all is settled and the lease was given up.
    Changed,
    /// The time for the drain was up: what was in flight is not settled, and the lease runs out by itself.
    Overdue,
}

pub(super) struct Session<'a> {
    pub(super) shared: &'a Inner,
    pub(super) lease: Lease,
    pub(super) machine: Machine,
    pub(super) wakeups: Option<Box<dyn Wakeups>>,
    /// The orders that it began with.
    pub(super) revision: i64,
    /// When to look for others; none while that is done, and when there are.
    pub(super) look_at: Option<Instant>,
}

impl Session<'_> {
    /// Runs until the machine is finished. `stop` turns it to draining.
    pub(super) async fn run(mut self, stop: &mut (dyn Future<Output = ()> + Send + Unpin)) -> Result<End, StoreError> {
        let mut running: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
        let mut before = Counts::default();
        let mut check = Check::begin(self.shared);
        let mut drain_until: Option<Instant> = None;
        let mut changed = false;
        let expires = self.shared.policy.rules.expire();
        loop {
            if expires {
                self.machine.set_wall(clock::wall_micros(), clock::now());
            }
            while let Some(action) = self.machine.next(clock::now()) {
                self.launch(action, &mut running);
            }
            if self.report(&mut before) {
                check.recovered();
            }
            if self.machine.is_finished() {
                self.shared.store.release(&self.lease).await?;
                return Ok(if changed { End::Changed } else { End::Finished });
            }
            let now = clock::now();
            if self.look_at.take_if(|at| *at <= now).is_some() {
                running.push(self.look());
            }
            if drain_until.is_some_and(|until| until <= now) {
                return Ok(if changed { End::Changed } else { End::Overdue });
            }
            let wake = self.machine.wake_at().into_iter().chain(drain_until).chain(self.look_at).min();
            let wake = wake.map_or(now + Duration::from_secs(1), |at| at.max(now + RECHECK / 10));
            // In this order always, so that the same events end in the same actions.
            tokio::select! {
                biased;
                () = &mut *stop, if drain_until.is_none() || changed => {
                    changed = false;
                    drain_until = Some(clock::now() + self.shared.policy.drain_deadline);
                    self.machine.drain();
                }
                Some(done) = running.next(), if !running.is_empty() => {
                    if self.is_old(&done) && drain_until.is_none() {
                        changed = true;
                        drain_until = Some(clock::now() + self.shared.policy.drain_deadline);
                        self.machine.drain();
                    }
                    if let Err(e) = self.finish(done, &mut running) {
                        self.outlast(running).await;
                        if !e.is_transient() {
                            // Nothing is in flight, and nobody waits for a lease that is of no use.
                            _ = self.shared.store.release(&self.lease).await;
                        }
                        return Err(e);
                    }
                }
                answer = check.answer() => check.answered(answer),
                () = wait(&mut self.wakeups), if self.wakeups.is_some() => self.machine.wake(clock::now()),
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    /// A publish is polled once, and judged at once where it has ended by then. So a batch is with the transport before
    /// the outcome of any other is looked at, and none is decided on while an outcome waits to be looked at that the
    /// transport takes for known.
    fn launch(&mut self, action: Action, running: &mut FuturesUnordered<BoxFuture<'static, Done>>) {
        let publishes = matches!(action, Action::Publish { .. });
        let mut work = self.start(action);
        if publishes && let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            if let Done::Published(id, outcomes) = done {
                self.machine.published(id, &outcomes, clock::now());
            }
            return;
        }
        running.push(work);
    }

    fn start(&self, action: Action) -> BoxFuture<'static, Done> {
        let (store, lease) = (self.shared.store.clone(), self.lease.clone());
        match action {
            Action::Fetch(messages) => {
                async move { Done::Fetched(store.fetch(&lease, FetchLimits { messages }).await) }.boxed()
            }
            Action::Read(seqs) => async move {
                let read = store.read(&lease, &seqs).await;
                Done::Read(seqs, read)
            }
            .boxed(),
            Action::Publish { id, batch, alone } => {
                let deadline = self.shared.policy.deadline_of(&batch);
                publish(self.shared.transport.clone(), id, batch, alone, deadline).boxed()
            }
            Action::Note(note) => async move { Done::Noted(store.note(&lease, note).await) }.boxed(),
            Action::Settle(settlement) => async move { Done::Settled(store.settle(&lease, &settlement).await) }.boxed(),
        }
    }

    fn finish(
        &mut self,
        done: Done,
        running: &mut FuturesUnordered<BoxFuture<'static, Done>>,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        match done {
            Done::Fetched(batch) => self.machine.fetched(batch?, now),
            Done::Read(asked, batch) => {
                if let Some(action) = self.machine.reread(&asked, batch?, now) {
                    self.launch(action, running);
                }
            }
            Done::Published(id, outcomes) => self.machine.published(id, &outcomes, now),
            Done::Settled(result) => {
                result?;
                self.machine.settled(self.shared.store.repeats(&self.lease), now);
            }
            Done::Noted(result) => {
                result?;
                if let Some(action) = self.machine.noted(now) {
                    self.launch(action, running);
                }
            }
            // A database that is away shows elsewhere.
            Done::Looked(_) => self.look_at = Some(now + LOOK),
        }
        Ok(())
    }

    /// Whether something was changed at the desk since the session began: what it remembers may be old.
    fn is_old(&self, done: &Done) -> bool {
        matches!(done, Done::Looked(Ok(orders)) if orders.revision != self.revision)
    }

    fn look(&self) -> BoxFuture<'static, Done> {
        let (store, relay) = (self.shared.store.clone(), self.lease.relay.clone());
        async move { Done::Looked(store.orders(&relay).await) }.boxed()
    }

    /// After the lease was lost nothing new is handed over, and nobody acquires again before our own requests ended.
    async fn outlast(&self, mut running: FuturesUnordered<BoxFuture<'static, Done>>) {
        let all = async { while running.next().await.is_some() {} };
        _ = timeout(self.shared.policy.longest_deadline(), all).await;
    }

    /// Says whether the transport answers again.
    fn report(&mut self, before: &mut Counts) -> bool {
        let (counts, window, parked) = (self.machine.counts, self.machine.window(), self.machine.parked());
        let (closed, destinations_held) = (self.machine.breaker_closed(), self.machine.destinations_held());
        let (blocked, mut why) = (self.machine.blocked(), self.machine.outage.take());
        let handle: &RelayHandle = &self.shared.handle;
        let mut outage = None;
        handle.update(|stats| {
            stats.delivered += counts.delivered - before.delivered;
            stats.failed += counts.failed - before.failed;
            stats.dead += counts.dead - before.dead;
            stats.outages += counts.outages - before.outages;
            stats.window = window.messages;
            (stats.parked, stats.blocked) = (parked, blocked);
            stats.destinations_held = destinations_held;
            if stats.connected == closed {
                return;
            }
            stats.connected = closed;
            outage = Some(if closed { RelayEvent::Recovered } else { RelayEvent::Outage { error: why.take() } });
        });
        *before = counts;
        self.machine.take_events().iter().for_each(|change| self.shared.tell(change));
        if let Some(event) = &outage {
            self.shared.tell(event);
        }
        outage == Some(RelayEvent::Recovered)
    }
}

async fn wait(wakeups: &mut Option<Box<dyn Wakeups>>) {
    match wakeups {
        Some(wakeups) => wakeups.wait().await,
        None => std::future::pending().await,
    }
}

/// Bounds a publish: what was not said by then is unknown.
async fn publish(transport: Arc<dyn Transport>, id: u64, batch: Batch, alone: bool, deadline: Duration) -> Done {
    let outcomes = Outcomes::new(batch.len());
    if timeout(deadline, bisect::publish(&*transport, &batch, alone, &outcomes)).await.is_err() {
        tracing::warn!(?deadline, "the transport did not answer within the publish deadline");
    }
    outcomes.close();
    Done::Published(id, outcomes)
}
