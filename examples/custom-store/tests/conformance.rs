//! The suite, and what opening the file again finds.

use std::path::PathBuf;
use std::time::Duration;

use custom_store::{FileStore, FileTransaction};
use outbox::{AcquireRequest, Acquired, FetchLimits, Message, Store, StoreError};
use outbox_conformance::store::StoreHarness;

outbox_conformance::store_suite!(FileHarness);

struct FileHarness {
    store: FileStore,
    path: PathBuf,
}

impl StoreHarness for FileHarness {
    type Store = FileStore;
    type Tx = FileTransaction;

    const CONCURRENT_WRITERS: bool = true;

    async fn start() -> Self {
        tokio::time::pause();
        let path = std::env::temp_dir().join(format!("outbox-file-{}", uuid::Uuid::now_v7()));
        Self { store: FileStore::open(&path).unwrap(), path }
    }

    async fn store(&self) -> FileStore {
        self.store.clone()
    }

    async fn begin(&self) -> FileTransaction {
        self.store.begin()
    }

    async fn enqueue(&self, tx: &mut FileTransaction, message: Message) -> Result<(), StoreError> {
        tx.enqueue(message)
    }

    async fn commit(&self, tx: FileTransaction) -> Result<(), StoreError> {
        tx.commit()
    }

    async fn rollback(&self, tx: FileTransaction) {
        drop(tx);
    }

    async fn age(&self, _relay: &str, by: Duration) {
        tokio::time::advance(by).await;
    }

    async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        self.store.dead_letters(relay)
    }
}

impl Drop for FileHarness {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.path);
    }
}

#[tokio::test]
async fn a_torn_line_never_committed_and_the_rest_is_kept() {
    let path = std::env::temp_dir().join(format!("outbox-file-{}", uuid::Uuid::now_v7()));
    let write = |text: &str| {
        let store = FileStore::open(&path).unwrap();
        let mut tx = store.begin();
        tx.enqueue(Message::new("orders", "order.created").text(text)).unwrap();
        tx.commit().unwrap();
    };
    write("1");
    let whole = std::fs::read(&path).unwrap();
    write("torn");
    let torn = std::fs::read(&path).unwrap();
    std::fs::write(&path, &torn[..whole.len() + 20]).unwrap();
    write("2");
    let store = FileStore::open(&path).unwrap();
    let Acquired::Yes(lease, _) = store.acquire(&AcquireRequest::new("r", 1)).await.unwrap() else { panic!("held") };
    let batch = store.fetch(&lease, FetchLimits { messages: 10 }).await.unwrap();
    assert_eq!(batch.iter().map(|m| m.payload().to_vec()).collect::<Vec<_>>(), [b"1", b"2"]);
    std::fs::remove_file(&path).unwrap();
}
