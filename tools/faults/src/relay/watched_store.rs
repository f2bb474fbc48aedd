use std::sync::Arc;

use outbox_core::admin::{Admin, Orders};
use outbox_core::{
    AcquireRequest, Acquired, Batch, Crashes, FetchLimits, Lease, Note, Settlement, Store, StoreCapabilities,
    StoreError, Wakeups, async_trait,
};

use super::trap::{Point, Traps};

/// A store with traps. Calls that bring nothing pass no point: how many there are is up to the timers.
#[derive(Debug)]
pub(super) struct WatchedStore {
    pub(super) inner: Box<dyn Store>,
    pub(super) traps: Arc<Traps>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for WatchedStore {
    fn capabilities(&self) -> StoreCapabilities {
        self.inner.capabilities()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        self.inner.acquire(request).await
    }

    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let batch = self.inner.fetch(lease, limits).await?;
        if !batch.is_empty() {
            self.traps.pass_and_wait(Point::Fetched).await;
        }
        Ok(batch)
    }

    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        self.inner.read(lease, seqs).await
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        if !settlement.is_empty() {
            self.traps.pass_and_wait(Point::SettleBefore).await;
        }
        self.inner.settle(lease, settlement).await?;
        if !settlement.is_empty() {
            self.traps.pass_and_wait(Point::SettleAfter).await;
        }
        if !settlement.parked.is_empty() {
            self.traps.pass_and_wait(Point::ParkedAfter).await;
        }
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }

    fn repeats(&self, lease: &Lease) -> u64 {
        self.inner.repeats(lease)
    }

    fn wakeups(&self) -> Option<Box<dyn Wakeups>> {
        self.inner.wakeups()
    }

    async fn crashes(&self, lease: &Lease) -> Result<Crashes, StoreError> {
        self.inner.crashes(lease).await
    }

    async fn note(&self, lease: &Lease, note: Note) -> Result<(), StoreError> {
        self.inner.note(lease, note).await
    }

    async fn orders(&self, relay: &str) -> Result<Orders, StoreError> {
        self.inner.orders(relay).await
    }

    fn admin(&self) -> Option<Arc<dyn Admin>> {
        self.inner.admin()
    }
}
