//! Abilities that the memory store lacks, sound and broken: retention, and a sequence that can begin anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use outbox_core::memory::MemoryStore;
use outbox_core::{
    AcquireRequest, Acquired, Batch, FetchLimits, Lease, Settlement, Store, StoreCapabilities, StoreError,
    StoreErrorKind, async_trait,
};

use crate::broken::Defect;
use crate::tools::{error, fetch_only, lock};

/// What retention deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletes {
    /// What all names have settled.
    SettledByAll,
    /// What one of them has.
    SettledByOne,
    /// What all have settled or parked.
    Parked,
}

#[derive(Debug)]
pub(crate) struct Retention(Deletes, Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    settled: BTreeMap<String, BTreeSet<i64>>,
    deleted: BTreeSet<i64>,
}

impl Retention {
    pub(crate) fn new(deletes: Deletes) -> Self {
        Self(deletes, Mutex::default())
    }
}

#[async_trait]
impl Defect for Retention {
    fn capabilities(&self) -> StoreCapabilities {
        let mut capabilities = StoreCapabilities::log();
        capabilities.retention = true;
        capabilities
    }

    fn retain(&self) -> bool {
        let mut kept = lock(&self.1);
        let all: BTreeSet<i64> = kept.settled.values().flatten().copied().collect();
        let by = |seq: &i64| kept.settled.values().filter(|settled| settled.contains(seq)).count();
        let enough = if self.0 == Deletes::SettledByOne { 1 } else { kept.settled.len() };
        kept.deleted = all.into_iter().filter(|seq| by(seq) >= enough).collect();
        true
    }

    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        lock(&self.1).settled.entry(request.relay.clone()).or_default();
        inner.acquire(request).await
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        fetch_only(inner, lease, limits, |m| !lock(&self.1).deleted.contains(&m.seq())).await
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        inner.settle(lease, settlement).await?;
        let mut kept = lock(&self.1);
        let settled = kept.settled.entry(lease.relay.clone()).or_default();
        settled.extend(settlement.delivered.ranges().iter().flat_map(|(lo, hi)| *lo..=*hi));
        settled.extend(settlement.unparked.iter().copied().chain(settlement.dead.iter().map(|d| d.seq)));
        if self.0 == Deletes::Parked {
            settled.extend(settlement.parked.iter().map(|p| p.seq));
        }
        Ok(())
    }
}

/// A sequence that can begin anew.
#[derive(Debug)]
pub(crate) struct Sequence {
    went_back: AtomicBool,
    said: bool,
}

impl Sequence {
    /// `said`: whether `acquire` finds out.
    pub(crate) fn new(said: bool) -> Self {
        Self { went_back: AtomicBool::new(false), said }
    }
}

#[async_trait]
impl Defect for Sequence {
    fn rewind(&self) -> bool {
        self.went_back.store(true, Ordering::Relaxed);
        true
    }

    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        if self.said && self.went_back.load(Ordering::Relaxed) {
            return Err(error(StoreErrorKind::SequenceWentBack));
        }
        inner.acquire(request).await
    }
}
