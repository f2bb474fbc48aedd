//! The store on Postgres through libpq passes the suite, with a database of its own for each clause.
#![cfg(feature = "postgres")]

#[path = "common/letter.rs"]
mod letter;

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::{Connection, PgConnection, RunQueryDsl, sql_query};
use outbox_conformance::store::StoreHarness;
use outbox_core::{Message, StoreError};
use outbox_diesel::{Postgres, SqlStore};

struct Harness {
    outbox: Postgres,
    url: String,
}

impl Harness {
    fn open(&self) -> PgConnection {
        PgConnection::establish(&self.url).expect("a connection")
    }
}

impl StoreHarness for Harness {
    type Store = SqlStore;
    type Tx = PgConnection;

    const CONCURRENT_WRITERS: bool = true;

    async fn start() -> Self {
        let url = testkit::Postgres::shared().await.database().await;
        let outbox = Postgres::new();
        outbox.migrate(&url).await.expect("migrated");
        Self { outbox, url }
    }

    async fn store(&self) -> SqlStore {
        self.outbox.store(&self.url)
    }

    async fn begin(&self) -> PgConnection {
        let mut conn = self.open();
        AnsiTransactionManager::begin_transaction(&mut conn).expect("begun");
        conn
    }

    async fn enqueue(&self, tx: &mut PgConnection, message: Message) -> Result<(), StoreError> {
        self.outbox.enqueue(tx, message).map(drop)
    }

    async fn commit(&self, mut tx: PgConnection) -> Result<(), StoreError> {
        AnsiTransactionManager::commit_transaction(&mut tx).expect("committed");
        self.outbox.wake();
        Ok(())
    }

    async fn rollback(&self, mut tx: PgConnection) {
        AnsiTransactionManager::rollback_transaction(&mut tx).expect("rolled back");
    }

    async fn age(&self, relay: &str, by: Duration) {
        let by = by.as_millis();
        let aged =
            format!("update outbox_relay set expires_at = expires_at - {by} * interval '1 ms' where relay = '{relay}'");
        self.open().batch_execute(&aged).expect("aged");
    }

    async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        let all = format!(
            "select id::text, topic, key, event_type, payload, content_type, headers::text, reason \
             from outbox_dead_letter where relay = '{relay}'"
        );
        let letters: Vec<letter::Letter> = sql_query(all).load(&mut self.open()).expect("dead letters");
        letters.into_iter().map(letter::Letter::read).collect()
    }

    async fn savepoint(&self, tx: &mut PgConnection, message: Message) -> Result<bool, StoreError> {
        AnsiTransactionManager::begin_transaction(tx).expect("a savepoint");
        self.outbox.enqueue(tx, message)?;
        AnsiTransactionManager::rollback_transaction(tx).expect("rolled back");
        Ok(true)
    }

    async fn retain(&self) -> bool {
        self.outbox.retain(&self.url, Duration::ZERO).await.expect("retained");
        true
    }

    async fn rewind(&self) -> bool {
        self.open().batch_execute("truncate outbox_message restart identity").expect("rewound");
        true
    }
}

outbox_conformance::store_suite!(Harness);
