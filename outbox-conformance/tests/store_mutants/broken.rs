//! A sound store over the memory store, every step of which a defect can replace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outbox_conformance::store::StoreHarness;
use outbox_core::admin::{Admin, Orders};
use outbox_core::memory::MemoryStore;
use outbox_core::{
    AcquireRequest, Acquired, Batch, Crashes, FetchLimits, Lease, Limits, Message, Note, Settlement, Store,
    StoreCapabilities, StoreError, Wakeups, async_trait,
};

/// A transaction: what it enqueued.
#[derive(Debug, Default)]
pub(crate) struct Tx {
    pub(crate) number: u64,
    pub(crate) messages: Vec<Message>,
}

impl Tx {
    pub(crate) fn add(&mut self, message: Message) -> Result<(), StoreError> {
        Limits::DEFAULT.check(&message)?;
        self.messages.push(message);
        Ok(())
    }
}

/// Writes messages that exist at once.
pub(crate) fn write(inner: &MemoryStore, messages: impl IntoIterator<Item = Message>) {
    let mut tx = inner.begin();
    for message in messages {
        tx.enqueue(message).expect("it was checked when it was enqueued");
    }
    tx.commit();
}

/// What is wrong with a store. Whatever is not replaced is as it should be.
#[async_trait]
pub(crate) trait Defect: std::fmt::Debug + Send + Sync + 'static {
    /// The defect of another process, where it is not shared.
    fn reopened(&self) -> Option<Arc<dyn Defect>> {
        None
    }

    fn enqueue(&self, tx: &mut Tx, message: Message) -> Result<(), StoreError> {
        tx.add(message)
    }

    fn savepoint(&self, _tx: &mut Tx, _message: Message) {}

    fn commit(&self, inner: &MemoryStore, tx: Tx) {
        write(inner, tx.messages);
    }

    fn rollback(&self, _inner: &MemoryStore, _tx: Tx) {}

    fn dead_letters(&self, inner: &MemoryStore, relay: &str) -> Vec<(Message, String)> {
        inner.dead_letters(relay)
    }

    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::log()
    }

    fn retain(&self) -> bool {
        false
    }

    fn rewind(&self) -> bool {
        false
    }

    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        inner.acquire(request).await
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        inner.fetch(lease, limits).await
    }

    async fn read(&self, inner: &MemoryStore, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        inner.read(lease, seqs).await
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        inner.settle(lease, settlement).await
    }

    async fn release(&self, inner: &MemoryStore, lease: &Lease) -> Result<(), StoreError> {
        inner.release(lease).await
    }

    fn wakeups(&self, inner: &MemoryStore) -> Option<Box<dyn Wakeups>> {
        inner.wakeups()
    }

    async fn crashes(&self, inner: &MemoryStore, lease: &Lease) -> Result<Crashes, StoreError> {
        inner.crashes(lease).await
    }

    async fn orders(&self, inner: &MemoryStore, relay: &str) -> Result<Orders, StoreError> {
        inner.orders(relay).await
    }

    fn admin(&self, inner: &MemoryStore) -> Option<Arc<dyn Admin>> {
        inner.admin()
    }
}

/// Nothing is wrong.
#[derive(Debug, Default)]
pub(crate) struct Sound;

impl Defect for Sound {}

/// The store with its defect; also the harness of the suite.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    inner: MemoryStore,
    defect: Arc<dyn Defect>,
}

impl Broken {
    pub(crate) fn new(defect: Arc<dyn Defect>) -> Self {
        tokio::time::pause();
        Self { inner: MemoryStore::new(), defect }
    }
}

#[async_trait]
impl Store for Broken {
    fn capabilities(&self) -> StoreCapabilities {
        self.defect.capabilities()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        self.defect.acquire(&self.inner, request).await
    }

    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        self.defect.fetch(&self.inner, lease, limits).await
    }

    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        self.defect.read(&self.inner, lease, seqs).await
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        self.defect.settle(&self.inner, lease, settlement).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.defect.release(&self.inner, lease).await
    }

    fn wakeups(&self) -> Option<Box<dyn Wakeups>> {
        self.defect.wakeups(&self.inner)
    }

    async fn crashes(&self, lease: &Lease) -> Result<Crashes, StoreError> {
        self.defect.crashes(&self.inner, lease).await
    }

    async fn note(&self, lease: &Lease, note: Note) -> Result<(), StoreError> {
        self.inner.note(lease, note).await
    }

    async fn orders(&self, relay: &str) -> Result<Orders, StoreError> {
        self.defect.orders(&self.inner, relay).await
    }

    fn admin(&self) -> Option<Arc<dyn Admin>> {
        self.defect.admin(&self.inner)
    }
}

impl StoreHarness for Broken {
    type Store = Self;
    type Tx = Tx;

    const CONCURRENT_WRITERS: bool = true;

    async fn start() -> Self {
        Self::new(Arc::new(Sound))
    }

    async fn store(&self) -> Self {
        let defect = self.defect.reopened().unwrap_or_else(|| self.defect.clone());
        Self { inner: self.inner.clone(), defect }
    }

    async fn begin(&self) -> Tx {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Tx { number: COUNT.fetch_add(1, Ordering::Relaxed), ..Tx::default() }
    }

    async fn enqueue(&self, tx: &mut Tx, message: Message) -> Result<(), StoreError> {
        self.defect.enqueue(tx, message)
    }

    async fn commit(&self, tx: Tx) -> Result<(), StoreError> {
        self.defect.commit(&self.inner, tx);
        Ok(())
    }

    async fn rollback(&self, tx: Tx) {
        self.defect.rollback(&self.inner, tx);
    }

    async fn age(&self, _relay: &str, by: Duration) {
        tokio::time::advance(by).await;
    }

    async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        self.defect.dead_letters(&self.inner, relay)
    }

    async fn savepoint(&self, tx: &mut Tx, message: Message) -> Result<bool, StoreError> {
        self.defect.savepoint(tx, message);
        Ok(true)
    }

    async fn retain(&self) -> bool {
        self.defect.retain()
    }

    async fn rewind(&self) -> bool {
        self.defect.rewind()
    }
}
