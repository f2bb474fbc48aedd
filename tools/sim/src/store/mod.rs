//! The store over the simulated database. It speaks as the SQL store does: the same statements in the same order, each
//! a message over the network, and [`Log`] decides.

mod acquire;
mod fetch;
mod settle;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outbox_core::log::Log;
use outbox_core::{
    AcquireRequest, Acquired, Batch, BatchBuilder, FetchLimits, Lease, Row as MessageRow, SeqSet, Settlement, Slot,
    Store, StoreCapabilities, StoreError, StoreErrorKind, async_trait,
};

use crate::book::Who;
use crate::db::{Fence, Row};
use crate::destinations::topic;
use crate::mutants::Mutant;
use crate::network::Link;
use crate::world::Sim;

/// The store of one process.
pub(crate) struct SimStore {
    sim: Sim,
    who: Who,
    session: Mutex<Option<Arc<Session>>>,
    /// Since when no valid incarnation was seen, and of which server start and epoch.
    tokenless: Mutex<Option<(Instant, (u32, i64))>>,
    tokens: Mutex<u64>,
}

/// What is remembered under one lease.
struct Session {
    lease: Lease,
    patience: Duration,
    log: Mutex<Memory>,
    backlog: Mutex<Vec<Slot>>,
    fetching: tokio::sync::Mutex<Link>,
    settling: tokio::sync::Mutex<Link>,
}

struct Memory {
    log: Log,
    /// Handed out by `fetch`, and no settlement of it is confirmed.
    window: SeqSet,
    /// The next transaction id, as an earlier statement had it.
    earlier: u64,
    /// The latest fetch was not cut short inside the holes.
    whole: bool,
}

impl SimStore {
    pub(crate) fn new(sim: &Sim, who: Who) -> Self {
        let (session, tokenless, tokens) = Default::default();
        Self { sim: sim.clone(), who, session, tokenless, tokens }
    }

    fn session(&self, lease: &Lease, operation: &'static str) -> Result<Arc<Session>, StoreError> {
        let found = lock(&self.session).clone().filter(|s| s.lease == *lease);
        found.ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, operation))
    }
}

impl Session {
    fn fence(&self) -> Fence {
        Fence { epoch: self.lease.epoch, token: self.lease.token }
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStore").field("who", &self.who).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SimStore {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::log()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let before = lock(&self.session).take();
        let acquired = self.sim.bounded("acquire", request.lease, self.try_acquire(request, before)).await;
        if acquired.is_err() {
            // The database may have crashed again: the wait for a full lease begins anew.
            lock(&self.tokenless).take();
        }
        acquired
    }

    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let session = self.session(lease, "fetch")?;
        self.sim.bounded("fetch", session.patience, self.fetch_next(&session, limits.messages)).await
    }

    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        let session = self.session(lease, "read")?;
        self.sim.bounded("read", session.patience, self.read_again(&session, seqs)).await
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        let session = self.session(lease, "settle")?;
        match self.sim.bounded("settle", session.patience, self.write(&session, settlement)).await {
            Err(e) if self.sim.is(Mutant::LostAnswerIgnored) && e.kind() == StoreErrorKind::Unavailable => Ok(()),
            result => result,
        }
    }

    fn repeats(&self, lease: &Lease) -> u64 {
        self.session(lease, "repeats").map_or(0, |session| lock(&session.log).log.repeats())
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let session = self.session(lease, "release")?;
        lock(&self.session).take();
        if self.sim.is(Mutant::NoRelease) {
            return Ok(());
        }
        self.sim.bounded("release", session.patience, self.give_up(&session)).await
    }
}

/// Whether a statement passes, given whether epoch and token are its own.
fn passes(mutant: Option<Mutant>, unfenced: Mutant, (epoch, token): (bool, bool)) -> bool {
    match mutant {
        Some(Mutant::TokenUnchecked) => epoch,
        other => (epoch && token) || other == Some(unfenced),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows as the relay gets them.
fn batch(rows: &[(i64, Row)]) -> Batch {
    batch_of(rows, |row| format!("t{}", topic(row.message, row.key)))
}

fn batch_of(rows: &[(i64, Row)], topic: impl Fn(&Row) -> String) -> Batch {
    let mut batch = BatchBuilder::new();
    for (seq, row) in rows {
        batch.push(&MessageRow {
            seq: *seq,
            id: u128::from(row.message),
            created_at: 0,
            topic: &topic(row),
            key: row.key.map(key).as_deref(),
            event_type: "event",
            payload: &row.message.to_be_bytes(),
            content_type: None,
            headers: None,
        });
    }
    batch.sort();
    batch.finish()
}

pub(crate) fn key(key: u8) -> String {
    format!("k{key}")
}
