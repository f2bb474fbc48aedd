//! The memory store passes the suite.

use std::time::Duration;

use outbox_conformance::store::StoreHarness;
use outbox_core::memory::{MemoryStore, MemoryTransaction};
use outbox_core::{Message, StoreError};

struct Memory(MemoryStore);

impl StoreHarness for Memory {
    type Store = MemoryStore;
    type Tx = MemoryTransaction;

    const CONCURRENT_WRITERS: bool = true;

    async fn start() -> Self {
        tokio::time::pause();
        Self(MemoryStore::new())
    }

    async fn store(&self) -> MemoryStore {
        self.0.clone()
    }

    async fn begin(&self) -> MemoryTransaction {
        self.0.begin()
    }

    async fn enqueue(&self, tx: &mut MemoryTransaction, message: Message) -> Result<(), StoreError> {
        Ok(tx.enqueue(message)?)
    }

    async fn commit(&self, tx: MemoryTransaction) -> Result<(), StoreError> {
        tx.commit();
        Ok(())
    }

    async fn rollback(&self, tx: MemoryTransaction) {
        drop(tx);
    }

    async fn age(&self, _relay: &str, by: Duration) {
        tokio::time::advance(by).await;
    }

    async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        self.0.dead_letters(relay)
    }
}

outbox_conformance::store_suite!(Memory);
