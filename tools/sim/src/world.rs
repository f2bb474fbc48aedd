//! Everything outside the processes: database, broker, and what an observer notes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::book::{Book, Who};
use crate::broker::Broker;
use crate::db::{AcquireParams, Db, Fence};
use crate::destinations::Missing;
use crate::history::History;
use crate::mutants::Mutant;
use crate::plan::{Fault, Plan};
use crate::random::Random;

/// A handle to the one world of a history.
#[derive(Debug, Clone)]
pub(crate) struct Sim {
    pub(crate) plan: Arc<Plan>,
    pub(crate) mutant: Option<Mutant>,
    start: Instant,
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) broker: Broker,
    pub(crate) book: Book,
    pub(crate) missing: Missing,
    pub(crate) history: History,
    pub(crate) network: BTreeMap<u8, Random>,
    /// The lives of processes that have ended.
    pub(crate) ended: BTreeMap<u8, u8>,
    /// Processes to which something is still to happen.
    pub(crate) busy: u8,
    /// The server start at the latest acquisition.
    server_then: u32,
    /// A fetch was cut short inside the holes, and no settlement with the snapshot of a whole one has followed: until
    /// then the cursor cannot tell what of them is settled.
    pub(crate) cut: bool,
    start: Instant,
}

impl Sim {
    pub(crate) fn new(plan: &Arc<Plan>, mutant: Option<Mutant>) -> Self {
        let start = Instant::now();
        let world = World {
            db: Db::new(),
            broker: Broker::new(plan.seed),
            book: Book::new(plan),
            missing: Missing::default(),
            history: History::default(),
            network: BTreeMap::new(),
            ended: BTreeMap::new(),
            busy: plan.setup.processes,
            server_then: 0,
            cut: false,
            start,
        };
        Self { plan: plan.clone(), mutant, start, world: Arc::new(Mutex::new(world)) }
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn until(&self, at: u64) {
        sleep_until(self.start + Duration::from_millis(at)).await;
    }

    /// The faults of the plan that `which` makes something of.
    pub(crate) fn faults<'a, T>(&'a self, which: impl Fn(&'a Fault) -> Option<T> + 'a) -> impl Iterator<Item = T> + 'a {
        self.plan.faults.iter().filter_map(which)
    }
}

impl World {
    pub(crate) fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    pub(crate) fn note(&mut self, line: String) {
        let now = self.now();
        self.history.add(now, line);
    }

    pub(crate) fn has_ended(&self, who: Who) -> bool {
        self.ended.get(&who.process).is_some_and(|life| *life >= who.life)
    }

    /// The statement of an acquisition, and what an observer concludes from it.
    pub(crate) fn acquire(&mut self, who: Who, params: &AcquireParams) -> Option<(i64, outbox_core::log::Cursor)> {
        let now = self.now();
        let (owner, server) = (self.db.tables.relay.as_ref().and_then(|r| r.owner), self.db.server);
        let got = self.db.acquire(params, now)?;
        let clean = owner.is_none() && self.book.holder.is_none_or(|_| self.server_then == server);
        self.note(format!(
            "{who} acquires epoch {} with {:?}{}",
            got.0,
            got.1,
            if clean { "" } else { ", a takeover" }
        ));
        if !clean && self.book.disturbances == self.book.disturbances_then {
            self.book.broken("G8 shutdown", format!("{who} took the lease over, and nothing had gone wrong"));
        }
        if !clean || self.cut {
            self.expose();
        }
        self.server_then = server;
        // What is going on still has its effect to come.
        self.book.disturbances_then = self.book.disturbances.saturating_sub(self.book.frozen);
        let number = self.book.holder.map_or(0, |(_, n)| n) + 1;
        self.book.holder = Some((who, number));
        Some(got)
    }

    /// What was handed out and is not settled may be sent again.
    fn expose(&mut self) {
        let tables = &self.db.tables;
        for (seq, row) in &tables.rows {
            let over = tables.is_over(*seq, row) || tables.dead.contains(&(*seq, row.message));
            if let Some(m) = self.book.messages.get_mut(&row.message).filter(|_| !over) {
                m.confirmed = false;
            }
        }
    }

    /// A statement that changed rows under a lease that does not count any more breaks a promise.
    pub(crate) fn wrote(&mut self, who: Who, fence: Fence, what: &str) {
        if self.db.owns(fence) != (true, true) {
            self.book
                .broken("G6 fencing", format!("{what} of {who} under epoch {} changed rows after it", fence.epoch));
        }
    }
}
