//! Defects of settling, parking and dead letters.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    AcquireRequest, Acquired, Batch, DeadLetter, FetchLimits, Lease, Message, ParkedMessage, Settlement, Store,
    StoreError, StoreErrorKind, async_trait,
};

use crate::broken::Defect;
use crate::tools::{delivered, error, lock, seqs};

/// Where messages were delivered, the rest of a settlement is forgotten.
#[derive(Debug, Default)]
pub(crate) struct AppliesHalf;

#[async_trait]
impl Defect for AppliesHalf {
    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        if settlement.delivered.is_empty() {
            return inner.settle(lease, settlement).await;
        }
        let half = Settlement { delivered: settlement.delivered.clone(), ..Settlement::default() };
        inner.settle(lease, &half).await
    }
}

/// How a store goes wrong that keeps one position instead of what is unsettled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// It moves to the highest message that was delivered.
    Highest,
    /// It moves up to the first one that is not settled, and forgets what was delivered above.
    FirstGap,
}

#[derive(Debug)]
pub(crate) struct OnePosition(Position, Mutex<(BTreeSet<i64>, HashSet<i64>)>);

impl OnePosition {
    pub(crate) fn new(position: Position) -> Self {
        Self(position, Mutex::default())
    }

    /// What is forgotten or moved over, besides or instead of what was delivered.
    fn moved(&self, settlement: &Settlement) -> Vec<i64> {
        let (open, done) = &mut *lock(&self.1);
        let asked = settlement.delivered.ranges().iter().flat_map(|(lo, hi)| *lo..=*hi);
        done.extend(asked.clone());
        let others = settlement.parked.iter().map(|p| p.seq).chain(settlement.dead.iter().map(|d| d.seq));
        others.chain(settlement.unparked.iter().copied()).for_each(|seq| _ = open.remove(&seq));
        let last = asked.max().unwrap_or(i64::MIN);
        let mut moved = Vec::new();
        while let Some(first) = open.first().copied() {
            let over = match self.0 {
                Position::Highest => first <= last,
                Position::FirstGap => done.contains(&first),
            };
            if !over {
                break;
            }
            open.remove(&first);
            moved.push(first);
        }
        moved
    }
}

#[async_trait]
impl Defect for OnePosition {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let acquired = inner.acquire(request).await?;
        if matches!(acquired, Acquired::Yes(..)) {
            *lock(&self.1) = Default::default();
        }
        Ok(acquired)
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let batch = inner.fetch(lease, limits).await?;
        lock(&self.1).0.extend(seqs(&batch));
        Ok(batch)
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        // Whether the lease is valid comes first.
        inner.settle(lease, &Settlement::default()).await?;
        let moved = delivered(self.moved(settlement)).delivered;
        inner.settle(lease, &Settlement { delivered: moved, ..settlement.clone() }).await
    }
}

/// A successor is handed out what is parked.
#[derive(Debug, Default)]
pub(crate) struct HandsOutParked(Mutex<Vec<i64>>);

#[async_trait]
impl Defect for HandsOutParked {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let acquired = inner.acquire(request).await?;
        if let Acquired::Yes(_, parked) = &acquired {
            *lock(&self.0) = parked.iter().map(|p| p.seq).collect();
        }
        Ok(acquired)
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let parked = std::mem::take(&mut *lock(&self.0));
        if parked.is_empty() { inner.fetch(lease, limits).await } else { inner.read(lease, &parked).await }
    }
}

/// Dead letters are written with the next settlement.
#[derive(Debug, Default)]
pub(crate) struct WritesDeadLettersLater(Mutex<BTreeMap<String, Vec<DeadLetter>>>);

#[async_trait]
impl Defect for WritesDeadLettersLater {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let acquired = inner.acquire(request).await?;
        if matches!(acquired, Acquired::Yes(..)) {
            lock(&self.0).remove(&request.relay);
        }
        Ok(acquired)
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        let before = lock(&self.0).get(&lease.relay).cloned().unwrap_or_default();
        inner.settle(lease, &Settlement { dead: before, ..settlement.clone() }).await?;
        lock(&self.0).insert(lease.relay.clone(), settlement.dead.clone());
        Ok(())
    }
}

/// A dead letter that is settled again is kept again.
#[derive(Debug, Default)]
pub(crate) struct KeepsDeadLettersTwice(Mutex<(HashSet<i64>, usize)>);

#[async_trait]
impl Defect for KeepsDeadLettersTwice {
    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        inner.settle(lease, settlement).await?;
        let (known, again) = &mut *lock(&self.0);
        *again += settlement.dead.iter().filter(|d| !known.insert(d.seq)).count();
        Ok(())
    }

    fn dead_letters(&self, inner: &MemoryStore, relay: &str) -> Vec<(Message, String)> {
        let letters = inner.dead_letters(relay);
        let again: Vec<_> = letters.iter().cycle().take(lock(&self.0).1).cloned().collect();
        letters.into_iter().chain(again).collect()
    }
}

/// What a store forgets of parked messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parking {
    /// Those that only wait behind another one.
    ForgetsWaiting,
    /// The figures of a later attempt.
    KeepsFirstFigures,
    /// That a message was unparked.
    NeverUnparks,
    /// That a dead letter is parked no longer.
    KeepsDead,
}

#[derive(Debug)]
pub(crate) struct Parks(Parking, Mutex<BTreeMap<i64, ParkedMessage>>);

impl Parks {
    pub(crate) fn new(parking: Parking) -> Self {
        Self(parking, Mutex::default())
    }
}

#[async_trait]
impl Defect for Parks {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let acquired = inner.acquire(request).await?;
        let Acquired::Yes(lease, mut parked) = acquired else { return Ok(acquired) };
        match self.0 {
            Parking::ForgetsWaiting => parked.retain(|p| p.attempts > 0),
            Parking::KeepsDead => {
                let letters = inner.dead_letters(&lease.relay).len();
                let known = lock(&self.1);
                parked.extend(known.values().filter(|_| letters > 0).cloned());
                parked.sort_by_key(|p| p.seq);
                parked.dedup_by_key(|p| p.seq);
            }
            Parking::KeepsFirstFigures | Parking::NeverUnparks => {}
        }
        Ok(Acquired::Yes(lease, parked))
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        let mut settlement = settlement.clone();
        {
            let mut known = lock(&self.1);
            match self.0 {
                Parking::KeepsFirstFigures => settlement.parked.retain(|p| !known.contains_key(&p.seq)),
                Parking::NeverUnparks => settlement.unparked.clear(),
                Parking::KeepsDead => settlement.unparked.iter().for_each(|seq| _ = known.remove(seq)),
                Parking::ForgetsWaiting => {}
            }
            known.extend(settlement.parked.iter().map(|p| (p.seq, p.clone())));
        }
        inner.settle(lease, &settlement).await
    }
}

/// `read` fails when one of the messages is gone.
#[derive(Debug, Default)]
pub(crate) struct ReadsAllOrNothing;

#[async_trait]
impl Defect for ReadsAllOrNothing {
    async fn read(&self, inner: &MemoryStore, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        let batch = inner.read(lease, seqs).await?;
        if batch.len() < seqs.len() { Err(error(StoreErrorKind::Unexpected)) } else { Ok(batch) }
    }
}

/// A dead letter has no headers.
#[derive(Debug, Default)]
pub(crate) struct BuriesWithoutHeaders;

impl Defect for BuriesWithoutHeaders {
    fn dead_letters(&self, inner: &MemoryStore, relay: &str) -> Vec<(Message, String)> {
        let mut letters = inner.dead_letters(relay);
        letters.iter_mut().for_each(|(m, _)| m.headers.clear());
        letters
    }
}

/// A settlement with a long error fails.
#[derive(Debug, Default)]
pub(crate) struct RefusesLongErrors;

#[async_trait]
impl Defect for RefusesLongErrors {
    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        let long = |p: &ParkedMessage| p.last_error.as_ref().is_some_and(|e| e.len() > 8_000);
        if settlement.parked.iter().any(long) {
            return Err(error(StoreErrorKind::Unexpected));
        }
        inner.settle(lease, settlement).await
    }
}
