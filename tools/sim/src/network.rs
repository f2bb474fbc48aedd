//! The way from a process to the database and back: late, lost, or carried out after its sender gave up.

use std::future::pending;
use std::time::Duration;

use outbox_core::{StoreError, StoreErrorKind};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::book::Who;
use crate::plan::{Fault, Loss};
use crate::random::Random;
use crate::world::{Sim, World};

/// A connection to one start of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link(pub(crate) u32);

impl Sim {
    /// Opens a connection.
    pub(crate) async fn connect(&self, who: Who) -> Result<Link, StoreError> {
        self.call(who, "connect", None, |world| Ok(Link(world.db.server))).await
    }

    /// One statement: carried out in one step, at some time after it was sent.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        who: Who,
        what: &'static str,
        link: Option<Link>,
        statement: impl FnOnce(&mut World) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let sim = self.clone();
        let (mut random, out) = {
            let mut world = self.lock();
            let streams = &mut world.network;
            let seed = self.plan.seed;
            let stream = streams.entry(who.process).or_insert_with(|| Random::new(seed, 100 + u64::from(who.process)));
            let mut random = Random::new(stream.next(), 0);
            let out = self.way(&mut world, who, true, &mut random);
            (random, out)
        };
        // What was sent is on its way, whatever becomes of its sender.
        tokio::spawn(async move {
            let Some(out) = out else { return };
            sleep(Duration::from_millis(out)).await;
            let (result, back) = {
                let mut world = sim.lock();
                let world = &mut *world;
                if answer.is_closed() && world.has_ended(who) && random.chance(40) {
                    return world.note(format!("{what} of {who} dies with it"));
                }
                let late = answer.is_closed() && what != "connect";
                if late {
                    world.book.disturb();
                    world.note(format!("{what} of {who} is carried out after it gave up"));
                }
                let result = match link {
                    _ if !world.db.up => Err(away("the server is away")),
                    Some(Link(server)) if server != world.db.server && !sim.plan.setup.pooler => {
                        Err(away("the connection is lost"))
                    }
                    _ => statement(world),
                };
                if late || result.as_ref().is_err_and(|e| e.kind() == StoreErrorKind::Unavailable) {
                    world.book.disturb();
                }
                (result, sim.way(world, who, false, &mut random))
            };
            let Some(back) = back else { return };
            sleep(Duration::from_millis(back)).await;
            _ = answer.send(result);
        });
        match answered.await {
            Ok(result) => result,
            // It hears nothing for ever, and gives up by its own clock.
            Err(_) => pending().await,
        }
    }

    /// How long a message is on its way; `None`: it gets lost.
    fn way(&self, world: &mut World, who: Who, out: bool, random: &mut Random) -> Option<u64> {
        let now = world.now();
        let usual = self.plan.setup.delay;
        let mut delay = if random.chance(3) { random.range(0, usual * 4) } else { random.below(usual + 1) };
        let going_on = |fault: &Fault| match *fault {
            Fault::Network { process, from, until, how }
                if from <= now && now < until && process.is_none_or(|p| p == who.process) =>
            {
                Some(how)
            }
            _ => None,
        };
        for how in self.faults(going_on) {
            world.book.disturb();
            let lost = match how {
                Loss::Requests => out,
                Loss::Answers => !out,
                Loss::Some => random.chance(33),
                Loss::Slow(most) => {
                    delay += random.range(0, most);
                    false
                }
            };
            if lost {
                return None;
            }
        }
        Some(delay)
    }
}

pub(crate) fn away(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "connect").with_detail(why)
}

impl Sim {
    /// Bounds the time that an operation may take.
    pub(crate) async fn bounded<T>(
        &self,
        operation: &'static str,
        patience: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match timeout(patience, work).await {
            Ok(result) => result.map_err(|e| e.during(operation)),
            Err(_) => {
                self.lock().book.disturb();
                Err(StoreError::new(StoreErrorKind::Unavailable, operation).with_detail("no answer in time"))
            }
        }
    }
}
