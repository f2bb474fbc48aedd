//! A store that hands messages out and takes no settlement, as a database whose disk is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    AcquireRequest, Acquired, Batch, FetchLimits, Lease, Message, Settlement, Store, StoreCapabilities, StoreError,
    StoreErrorKind, StoreRelay, async_trait, transport,
};
use tokio::time::sleep;

#[derive(Debug, Clone)]
struct Full {
    inner: MemoryStore,
    full: Arc<AtomicBool>,
}

#[async_trait]
impl Store for Full {
    fn capabilities(&self) -> StoreCapabilities {
        self.inner.capabilities()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        self.inner.acquire(request).await
    }

    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        self.inner.fetch(lease, limits).await
    }

    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        self.inner.read(lease, seqs).await
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        if self.full.load(Ordering::Relaxed) && !settlement.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "settle"));
        }
        self.inner.settle(lease, settlement).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }
}

#[tokio::test(start_paused = true)]
async fn costs_one_window_of_duplicates_however_long_it_lasts() {
    const MESSAGES: usize = 1_000;
    let (inner, full) = (MemoryStore::new(), Arc::new(AtomicBool::new(true)));
    let mut tx = inner.begin();
    for n in 0..MESSAGES {
        tx.enqueue(Message::new("t", "e").key(n).text(n.to_string())).expect("valid");
    }
    tx.commit();
    let published = Arc::new(AtomicUsize::new(0));
    let count = published.clone();
    let counting = transport::from_fn(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    });
    let store = Full { inner, full: full.clone() };
    let relay = StoreRelay::builder("test", store, counting).build().expect("valid settings");
    let task = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    sleep(Duration::from_secs(600)).await;
    let in_vain = published.load(Ordering::Relaxed);
    // Then one message each time it is tried, which is every 5 s at most.
    assert!((MESSAGES..MESSAGES + 300).contains(&in_vain), "{in_vain} were published");
    full.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    task.abort();
    let all = published.load(Ordering::Relaxed);
    assert!((in_vain + MESSAGES - 1..=in_vain + MESSAGES + 1).contains(&all), "{all} after {in_vain}: each once more");
}
