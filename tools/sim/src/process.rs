//! The life of a relay process: starts, runs, crashes, freezes, shuts down, comes back.

use std::time::Duration;

use outbox_core::{Observer, Relay, RelayError, RelayEvent, RelayHandle, StoreRelay};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::book::Who;
use crate::gate::{Door, Gate};
use crate::plan::Fault;
use crate::random::Random;
use crate::store::SimStore;
use crate::transport::SimTransport;
use crate::world::Sim;

/// The longest that a shutdown may take beside its drain.
const SLACK: u64 = 500;

/// One life of a process, as its surroundings see it.
pub(crate) struct Life {
    sim: Sim,
    who: Who,
    door: Door,
    stop: Option<oneshot::Sender<()>>,
    handle: RelayHandle,
    running: JoinHandle<Option<Result<(), RelayError>>>,
}

#[derive(Debug)]
struct Noted {
    sim: Sim,
    who: Who,
}

impl Observer for Noted {
    fn on_event(&self, _relay: &str, event: &RelayEvent) {
        let mut world = self.sim.lock();
        world.book.leases_lost += u64::from(matches!(event, RelayEvent::Lost { .. }));
        world.note(format!("{}: {event:?}", self.who));
    }
}

/// The relay of one life.
pub(crate) fn relay(sim: &Sim, who: Who) -> StoreRelay {
    let s = &sim.plan.setup;
    let ms = Duration::from_millis;
    let mut random = Random::new(sim.plan.seed, u64::from(who.process) << 8 | u64::from(who.life) | 1 << 20);
    let owner = u128::from(random.next()) << 64 | u128::from(random.next());
    StoreRelay::builder("relay", SimStore::new(sim, who), SimTransport::new(sim, who))
        .batch(s.batch)
        .window(s.window, 1 << 20)
        .lease(ms(s.lease))
        .publish_deadline(ms(s.publish_deadline))
        .drain_deadline(ms(s.drain_deadline()))
        .max_attempts(s.max_attempts)
        .retry(ms(20.min(s.retry_max)), ms(s.retry_max))
        .outage(ms(20), ms(500))
        .poll(ms(5), ms(s.poll_max))
        .owner(owner)
        .observer(Noted { sim: sim.clone(), who })
        .build()
        .expect("the plan draws what the builder takes")
}

impl Life {
    fn start(sim: &Sim, who: Who) -> Self {
        sim.lock().note(format!("{who} starts"));
        let (door, (stop, stopped)) = (Door::default(), oneshot::channel::<()>());
        let relay = relay(sim, who);
        let handle = relay.handle();
        let inside = async move {
            let stopped = async move { _ = stopped.await };
            relay.run_until(Box::pin(stopped)).await
        };
        let on_end = {
            let sim = sim.clone();
            move || _ = sim.lock().ended.insert(who.process, who.life)
        };
        let gate = Gate { door: door.clone(), inside: Some(Box::pin(inside)), on_end: Box::new(on_end) };
        Self { sim: sim.clone(), who, door, stop: Some(stop), handle, running: tokio::spawn(gate) }
    }

    async fn crash(self, polls: u32) {
        self.sim.lock().note(format!("{} crashes after {polls} steps", self.who));
        self.sim.lock().book.disturb();
        self.door.kill(polls);
        // One that has nothing to do takes no steps.
        let deadline = async {
            sleep(Duration::from_millis(500)).await;
            self.door.kill(0);
        };
        let (ended, ()) = join(self.running, deadline).await;
        check_end(&self.sim, self.who, ended);
        let mut world = self.sim.lock();
        world.book.disturb();
        world.note(format!("{} is gone", self.who));
    }

    async fn freeze(&self, until: u64) {
        {
            let mut world = self.sim.lock();
            world.note(format!("{} freezes", self.who));
            world.book.disturb();
            world.book.frozen += 1;
        }
        self.door.shut(true);
        self.sim.until(until).await;
        self.door.shut(false);
        let mut world = self.sim.lock();
        world.book.disturb();
        world.book.frozen -= 1;
        world.note(format!("{} goes on", self.who));
    }

    /// Shuts it down cleanly; without disturbance the lease is free afterwards.
    async fn shut_down(mut self) {
        let (began, active) = (Instant::now(), self.handle.stats().active);
        let before = {
            let mut world = self.sim.lock();
            world.note(format!("{} is told to stop", self.who));
            (world.book.disturbances, world.book.leases_lost)
        };
        _ = self.stop.take().map(|stop| stop.send(()));
        let ended = self.running.await;
        let finished = matches!(ended, Ok(Some(Ok(()))));
        check_end(&self.sim, self.who, ended);
        let mut world = self.sim.lock();
        let took = began.elapsed().as_millis() as u64;
        world.note(format!("{} has stopped", self.who));
        world.ended.insert(self.who.process, self.who.life);
        let calm = (world.book.disturbances, world.book.leases_lost) == before;
        let holds = active
            && world.book.holder.is_some_and(|(who, _)| who == self.who)
            && world.db.tables.relay.as_ref().is_some_and(|r| r.owner.is_some());
        if finished && calm && holds {
            world.book.broken("G8 shutdown", format!("{} stopped cleanly and kept the lease", self.who));
        }
        let setup = &self.sim.plan.setup;
        let most = setup.drain_deadline() + setup.lease + setup.publish_deadline + SLACK;
        if took > most {
            world.book.broken("G8 shutdown", format!("{} took {took} ms to stop", self.who));
        }
    }
}

fn check_end(sim: &Sim, who: Who, ended: Result<Option<Result<(), RelayError>>, tokio::task::JoinError>) {
    let what = match ended {
        // A drain that took too long says so; a successor goes on.
        Ok(None | Some(Ok(()) | Err(RelayError::TimedOut { .. }))) => return,
        Ok(Some(Err(e))) => format!("{who} stopped: {e:?}"),
        Err(e) => format!("{who} died: {e:?}"),
    };
    sim.lock().book.broken("runs on", what);
}

/// Runs the first to its end, the second beside it as long as that takes.
async fn join<T>(first: impl Future<Output = T>, second: impl Future<Output = ()>) -> (T, ()) {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    let mut over = false;
    std::future::poll_fn(|cx| {
        if !over {
            over = second.as_mut().poll(cx).is_ready();
        }
        first.as_mut().poll(cx).map(|out| (out, ()))
    })
    .await
}

/// All lives of a process, until told to end.
pub(crate) async fn live(sim: Sim, process: u8, end: oneshot::Receiver<()>) {
    let mut who = Who { process, life: 1 };
    let mut life = Life::start(&sim, who);
    for (at, fault) in events(&sim, process) {
        sim.until(at).await;
        match fault {
            Fault::Crash { polls, back, .. } => {
                life.crash(polls).await;
                sleep(Duration::from_millis(back)).await;
            }
            Fault::Shutdown { back, .. } => {
                life.shut_down().await;
                sleep(Duration::from_millis(back)).await;
            }
            Fault::Freeze { until, .. } => {
                life.freeze(until).await;
                continue;
            }
            _ => continue,
        }
        who.life += 1;
        life = Life::start(&sim, who);
    }
    sim.lock().busy -= 1;
    _ = end.await;
    life.shut_down().await;
}

/// What befalls a process, in order.
fn events(sim: &Sim, of: u8) -> Vec<(u64, Fault)> {
    let mine = |fault: &Fault| match *fault {
        Fault::Crash { process, at, .. } | Fault::Shutdown { process, at, .. } | Fault::Freeze { process, at, .. } => {
            (process == of).then(|| (at, fault.clone()))
        }
        _ => None,
    };
    let mut events: Vec<_> = sim.faults(mine).collect();
    events.sort_by_key(|(at, _)| *at);
    events
}
