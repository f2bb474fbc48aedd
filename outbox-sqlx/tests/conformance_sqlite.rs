//! The store on SQLite passes the suite, with a file of its own for each clause.
#![cfg(feature = "sqlite")]

use std::path::PathBuf;
use std::time::Duration;

use outbox_conformance::store::StoreHarness;
use outbox_core::{Message, StoreError};
use outbox_sql::SqlStore;
use outbox_sqlx::Sqlite;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Row, SqlitePool};
use uuid::Uuid;

struct Harness {
    outbox: Sqlite,
    /// Of the application: a second writer is refused soon.
    writers: SqlitePool,
    readers: SqlitePool,
    path: PathBuf,
}

impl StoreHarness for Harness {
    type Store = SqlStore;
    type Tx = sqlx::Transaction<'static, sqlx::Sqlite>;

    const CONCURRENT_WRITERS: bool = false;

    async fn start() -> Self {
        let path = std::env::temp_dir().join(format!("outbox-suite-{}.db", Uuid::now_v7()));
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let readers = SqlitePool::connect_with(options.clone()).await.expect("a file");
        let outbox = Sqlite::new();
        outbox.migrate(&readers).await.expect("migrated");
        let writers = SqlitePool::connect_with(options.busy_timeout(Duration::from_secs(1))).await.expect("a file");
        Self { outbox, writers, readers, path }
    }

    async fn store(&self) -> SqlStore {
        self.outbox.store(self.readers.clone())
    }

    async fn begin(&self) -> Self::Tx {
        self.writers.begin().await.expect("begun")
    }

    async fn enqueue(&self, tx: &mut Self::Tx, message: Message) -> Result<(), StoreError> {
        self.outbox.enqueue(tx, message).await.map(drop)
    }

    async fn commit(&self, tx: Self::Tx) -> Result<(), StoreError> {
        self.outbox.commit(tx).await
    }

    async fn rollback(&self, tx: Self::Tx) {
        tx.rollback().await.expect("rolled back");
    }

    async fn age(&self, relay: &str, by: Duration) {
        let aged = "update outbox_relay set expires_at = expires_at - $2 where relay = $1";
        let by = i64::try_from(by.as_micros()).expect("small");
        sqlx::query(aged).bind(relay).bind(by).execute(&self.readers).await.expect("aged");
    }

    async fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        let all = "select id, topic, key, event_type, payload, content_type, headers, reason \
            from outbox_dead_letter where relay = $1";
        let rows = sqlx::query(all).bind(relay).fetch_all(&self.readers).await.expect("dead letters");
        let letter = |row: &sqlx::sqlite::SqliteRow| {
            let mut m = Message::new(row.get::<String, _>(1), row.get::<String, _>(3)).id(row.get::<Uuid, _>(0));
            (m.key, m.content_type) = (row.get(2), row.get(5));
            m.payload = row.get::<Vec<u8>, _>(4).into();
            m.headers = headers(row.get(6));
            (m, row.get(7))
        };
        rows.iter().map(letter).collect()
    }

    async fn savepoint(&self, tx: &mut Self::Tx, message: Message) -> Result<bool, StoreError> {
        let mut savepoint = tx.begin().await.expect("a savepoint");
        self.outbox.enqueue(&mut savepoint, message).await?;
        savepoint.rollback().await.expect("rolled back");
        Ok(true)
    }

    async fn retain(&self) -> bool {
        self.outbox.retain(&self.readers, Duration::ZERO).await.expect("retained");
        true
    }

    async fn rewind(&self) -> bool {
        let sql = "delete from outbox_message; delete from sqlite_sequence";
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.readers).await.expect("rewound");
        true
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            _ = std::fs::remove_file(format!("{}{ending}", self.path.display()));
        }
    }
}

fn headers(json: Option<String>) -> Vec<(String, String)> {
    let map: std::collections::BTreeMap<String, String> =
        json.map(|json| serde_json::from_str(&json).expect("an object of texts")).unwrap_or_default();
    map.into_iter().collect()
}

outbox_conformance::store_suite!(Harness);
