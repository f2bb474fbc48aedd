//! The store on SQLite passes the suite, with a file of its own for each clause.
#![cfg(feature = "sqlite")]

#[path = "common/file.rs"]
mod file;
#[path = "common/letter.rs"]
mod letter;

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::{RunQueryDsl, SqliteConnection, sql_query};
use file::File;
use outbox_conformance::store::StoreHarness;
use outbox_core::{Message, StoreError};
use outbox_diesel::{SqlStore, Sqlite};

struct Harness {
    outbox: Sqlite,
    file: File,
}

impl StoreHarness for Harness {
    type Store = SqlStore;
    type Tx = SqliteConnection;

    const CONCURRENT_WRITERS: bool = false;

    async fn start() -> Self {
        let file = File::new();
        let outbox = Sqlite::new();
        outbox.migrate(file.url()).await.expect("migrated");
        Self { outbox, file }
    }

    async fn store(&self) -> SqlStore {
        self.outbox.store(self.file.url())
    }

    async fn begin(&self) -> SqliteConnection {
        // A second writer is refused soon.
        let mut conn = self.file.open(Duration::from_secs(1));
        AnsiTransactionManager::begin_transaction(&mut conn).expect("begun");
        conn
    }

    async fn enqueue(&self, tx: &mut SqliteConnection, message: Message) -> Result<(), StoreError> {
        self.outbox.enqueue(tx, message).map(drop)
    }

    async fn commit(&self, mut tx: SqliteConnection) -> Result<(), StoreError> {
        AnsiTransactionManager::commit_transaction(&mut tx).expect("committed");
        self.outbox.wake();
        Ok(())
    }

    async fn rollback(&self, mut tx: SqliteConnection) {
        AnsiTransactionManager::rollback_transaction(&mut tx).expect("rolled back");
    }

    async fn age(&self, relay: &str, by: Duration) {
        let by = by.as_micros();
        let aged = format!("update outbox_relay set expires_at = expires_at - {by} where relay = '{relay}'");
        self.file.open(Duration::from_secs(5)).batch_execute(&aged).expect("aged");
    }

    async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        let all = format!(
            "select hex(id) id, topic, key, event_type, payload, content_type, headers, reason \
             from outbox_dead_letter where relay = '{relay}'"
        );
        let conn = &mut self.file.open(Duration::from_secs(5));
        let letters: Vec<letter::Letter> = sql_query(all).load(conn).expect("dead letters");
        letters.into_iter().map(letter::Letter::read).collect()
    }

    async fn savepoint(&self, tx: &mut SqliteConnection, message: Message) -> Result<bool, StoreError> {
        AnsiTransactionManager::begin_transaction(tx).expect("a savepoint");
        self.outbox.enqueue(tx, message)?;
        AnsiTransactionManager::rollback_transaction(tx).expect("rolled back");
        Ok(true)
    }

    async fn retain(&self) -> bool {
        self.outbox.retain(self.file.url(), Duration::ZERO).await.expect("retained");
        true
    }

    async fn rewind(&self) -> bool {
        let sql = "delete from outbox_message; delete from sqlite_sequence";
        self.file.open(Duration::from_secs(5)).batch_execute(sql).expect("rewound");
        true
    }
}

outbox_conformance::store_suite!(Harness);
