use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use outbox::{
    AcquireRequest, Acquired, Batch, BatchBuilder, FetchLimits, Lease, Row, Settlement, Store, StoreCapabilities,
    StoreError, async_trait,
};

/// Messages of a batch: the relay's default.
const BATCH: usize = 500;
const PAYLOAD: usize = 256;

/// New messages, which no broker has seen, in batches. No two neighbours have the same key, unless there is one only.
pub(crate) fn messages(topic: &str, keys: usize, count: usize) -> Result<Vec<Batch>> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let payload = vec![b'x'; PAYLOAD];
    let keys: Vec<String> = (0..keys).map(|key| format!("key-{key:04}")).collect();
    let mut batches = Vec::with_capacity(count / BATCH + 1);
    for first in (0..count).step_by(BATCH) {
        let many = BATCH.min(count - first);
        let mut batch = BatchBuilder::with_capacity(many, many * (PAYLOAD + 100));
        for n in first..first + many {
            batch.push(&Row {
                seq: i64::try_from(n)? + 1,
                id: now.as_nanos() << 64 | u128::from(NEXT.fetch_add(1, Ordering::Relaxed)),
                created_at: i64::try_from(now.as_micros())?,
                topic,
                key: Some(&keys[n % keys.len()]),
                event_type: "order.created",
                payload: &payload,
                content_type: Some("text/plain"),
                headers: None,
            });
        }
        batches.push(batch.finish());
    }
    Ok(batches)
}

/// A store that hands out what was made before, and forgets what was settled.
#[derive(Debug)]
pub(crate) struct Source(Mutex<Left>);

#[derive(Debug)]
struct Left {
    batches: VecDeque<Batch>,
    /// Of the first batch.
    taken: usize,
}

impl Source {
    pub(crate) fn new(batches: Vec<Batch>) -> Self {
        Self(Mutex::new(Left { batches: batches.into(), taken: 0 }))
    }
}

#[async_trait]
impl Store for Source {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::new()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        Ok(Acquired::Yes(Lease { relay: request.relay.clone(), epoch: 1, token: 0 }, Vec::new()))
    }

    async fn fetch(&self, _: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let mut left = self.0.lock().expect("nobody panics");
        let Some(first) = left.batches.front().cloned() else { return Ok(Batch::default()) };
        let (from, to) = (left.taken, first.len().min(left.taken + limits.messages));
        left.taken = to;
        if to == first.len() {
            left.batches.pop_front();
            left.taken = 0;
        }
        if (from, to) == (0, first.len()) {
            return Ok(first);
        }
        Ok(Batch::from_slots((from..to).map(|i| first.slot(i)).collect()))
    }

    async fn read(&self, _: &Lease, _: &[i64]) -> Result<Batch, StoreError> {
        Ok(Batch::default())
    }

    async fn settle(&self, _: &Lease, _: &Settlement) -> Result<(), StoreError> {
        Ok(())
    }

    async fn release(&self, _: &Lease) -> Result<(), StoreError> {
        Ok(())
    }
}
