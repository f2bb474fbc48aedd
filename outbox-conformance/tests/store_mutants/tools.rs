//! What several defects need.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    Batch, BatchBuilder, FetchLimits, Lease, MessageRef, Row, Settlement, Store, StoreError, StoreErrorKind,
};

/// More than any case has.
pub(crate) const ALL: FetchLimits = FetchLimits { messages: 100_000 };

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// On the suite's paused clock.
pub(crate) fn now() -> Instant {
    outbox_core::clock::now()
}

pub(crate) fn error(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "mutant")
}

/// The messages that pass.
pub(crate) fn only(batch: &Batch, mut keep: impl FnMut(&MessageRef<'_>) -> bool) -> Batch {
    let kept = (0..batch.len()).filter(|i| keep(&batch.get(*i)));
    Batch::from_slots(kept.map(|i| batch.slot(i)).collect())
}

/// The messages in another order.
pub(crate) fn by<K: Ord>(batch: &Batch, key: impl Fn(&MessageRef<'_>) -> K) -> Batch {
    let mut order: Vec<usize> = (0..batch.len()).collect();
    order.sort_by_key(|i| key(&batch.get(*i)));
    Batch::from_slots(order.into_iter().map(|i| batch.slot(i)).collect())
}

pub(crate) fn seqs(batch: &Batch) -> Vec<i64> {
    batch.iter().map(|m| m.seq()).collect()
}

/// Fetches until something passes, or nothing is left.
pub(crate) async fn fetch_only(
    inner: &MemoryStore,
    lease: &Lease,
    limits: FetchLimits,
    keep: impl Fn(&MessageRef<'_>) -> bool,
) -> Result<Batch, StoreError> {
    loop {
        let batch = inner.fetch(lease, limits).await?;
        let kept = only(&batch, &keep);
        if !kept.is_empty() || batch.is_empty() {
            return Ok(kept);
        }
    }
}

/// The messages, created at another time.
pub(crate) fn redated(batch: &Batch, at: impl Fn(&MessageRef<'_>) -> i64) -> Batch {
    let mut copy = BatchBuilder::new();
    for m in batch.iter() {
        copy.push(&Row {
            seq: m.seq(),
            id: m.id().as_uuid().as_u128(),
            created_at: at(&m),
            topic: m.topic(),
            key: m.key(),
            event_type: m.event_type(),
            payload: m.payload(),
            content_type: m.content_type(),
            headers: m.headers_json(),
        });
    }
    copy.finish()
}

pub(crate) fn delivered(seqs: impl IntoIterator<Item = i64>) -> Settlement {
    Settlement { delivered: seqs.into_iter().collect(), ..Settlement::default() }
}
