//! The store on Postgres through diesel-async passes the suite, with a database of its own for each clause.
#![cfg(feature = "async-postgres")]

#[path = "common/letter.rs"]
mod letter;

use std::time::Duration;

use diesel::sql_query;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};
use outbox_conformance::store::StoreHarness;
use outbox_core::{Message, StoreError};
use outbox_diesel::{AsyncPostgres, SqlStore};

struct Harness {
    outbox: AsyncPostgres,
    url: String,
}

impl Harness {
    async fn open(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.url).await.expect("a connection")
    }
}

impl StoreHarness for Harness {
    type Store = SqlStore;
    type Tx = AsyncPgConnection;

    const CONCURRENT_WRITERS: bool = true;

    async fn start() -> Self {
        let url = testkit::Postgres::shared().await.database().await;
        let outbox = AsyncPostgres::new();
        outbox.migrate(&url).await.expect("migrated");
        Self { outbox, url }
    }

    async fn store(&self) -> SqlStore {
        self.outbox.store(&self.url)
    }

    async fn begin(&self) -> AsyncPgConnection {
        let mut conn = self.open().await;
        AnsiTransactionManager::begin_transaction(&mut conn).await.expect("begun");
        conn
    }

    async fn enqueue(&self, tx: &mut AsyncPgConnection, message: Message) -> Result<(), StoreError> {
        self.outbox.enqueue(tx, message).await.map(drop)
    }

    async fn commit(&self, mut tx: AsyncPgConnection) -> Result<(), StoreError> {
        AnsiTransactionManager::commit_transaction(&mut tx).await.expect("committed");
        self.outbox.wake();
        Ok(())
    }

    async fn rollback(&self, mut tx: AsyncPgConnection) {
        AnsiTransactionManager::rollback_transaction(&mut tx).await.expect("rolled back");
    }

    async fn age(&self, relay: &str, by: Duration) {
        let by = by.as_millis();
        let aged =
            format!("update outbox_relay set expires_at = expires_at - {by} * interval '1 ms' where relay = '{relay}'");
        self.open().await.batch_execute(&aged).await.expect("aged");
    }

    async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        let all = format!(
            "select id::text, topic, key, event_type, payload, content_type, headers::text, reason \
             from outbox_dead_letter where relay = '{relay}'"
        );
        let letters: Vec<letter::Letter> = sql_query(all).load(&mut self.open().await).await.expect("dead letters");
        letters.into_iter().map(letter::Letter::read).collect()
    }

    async fn savepoint(&self, tx: &mut AsyncPgConnection, message: Message) -> Result<bool, StoreError> {
        AnsiTransactionManager::begin_transaction(tx).await.expect("a savepoint");
        self.outbox.enqueue(tx, message).await?;
        AnsiTransactionManager::rollback_transaction(tx).await.expect("rolled back");
        Ok(true)
    }

    async fn retain(&self) -> bool {
        self.outbox.retain(&self.url, Duration::ZERO).await.expect("retained");
        true
    }

    async fn rewind(&self) -> bool {
        self.open().await.batch_execute("truncate outbox_message restart identity").await.expect("rewound");
        true
    }
}

outbox_conformance::store_suite!(Harness);
