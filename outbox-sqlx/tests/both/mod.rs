//! One test for both databases that keep a log: on Postgres and on SQLite.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::PathBuf;
use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, StoreError, StoreRelay};
use outbox_sqlx::{Postgres, RelayStatus, Replay, SqlStore, Sqlite};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A database of its own.
pub(crate) trait Shop: Clone + Send + Sync + 'static {
    /// Without tables.
    async fn empty() -> Self;
    async fn migrate(&self) -> Result<(), StoreError>;
    fn migrations(&self) -> Vec<String>;
    fn store(&self) -> SqlStore;
    /// One whose relays keep messages for this time.
    fn keeping(&self, time: Duration) -> SqlStore;
    async fn write(&self, messages: Vec<Message>);
    async fn try_retain(&self, keep_for: Duration) -> Result<u64, StoreError>;
    async fn replay(&self, replay: Replay) -> Result<u64, StoreError>;
    async fn drop_relay(&self, relay: &str) -> Result<(), StoreError>;
    async fn force_drop_relay(&self, relay: &str) -> Result<(), StoreError>;
    async fn status(&self) -> Result<Vec<RelayStatus>, StoreError>;
    async fn run(&self, sql: &str);
    /// A column of text.
    async fn texts(&self, sql: &str) -> Vec<Option<String>>;

    async fn open() -> Self {
        let shop = Self::empty().await;
        shop.migrate().await.expect("migrated");
        shop
    }

    async fn retain(&self, keep_for: Duration) -> u64 {
        self.try_retain(keep_for).await.expect("retained")
    }

    /// Writes messages of one topic, whose event types are these numbers.
    async fn numbered(&self, topic: &str, numbers: std::ops::RangeInclusive<i64>) {
        self.write(numbers.map(|n| Message::new(topic, n.to_string()).key(n % 3).text(n.to_string())).collect()).await;
    }

    fn relay(&self, name: &str, to: &MemoryTransport) -> StoreRelay {
        StoreRelay::builder(name, self.store(), to.clone()).build().expect("valid settings")
    }

    /// The event types that are kept, by seq.
    async fn kept(&self) -> Vec<String> {
        self.texts("select event_type from outbox_message order by seq").await.into_iter().flatten().collect()
    }

    async fn count(&self, table: &str) -> usize {
        self.texts(&format!("select 'x' from {table}")).await.len()
    }
}

/// The event types, in the order of arrival; nothing is left behind.
pub(crate) fn tags(to: &MemoryTransport) -> Vec<String> {
    to.take().iter().map(|m| m.event_type().to_owned()).collect()
}

/// Numbers as event types.
pub(crate) fn numbers(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|n| n.to_string()).collect()
}

#[derive(Debug, Clone)]
pub(crate) struct OnPostgres(pub(crate) Postgres, pub(crate) PgPool);

#[derive(Debug, Clone)]
pub(crate) struct OnSqlite(pub(crate) Sqlite, pub(crate) SqlitePool, std::sync::Arc<File>);

/// Removed with the test.
#[derive(Debug)]
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            _ = std::fs::remove_file(format!("{}{ending}", self.0.display()));
        }
    }
}

macro_rules! shop {
    ($shop:ident, $begin:literal, $empty:expr) => {
        impl Shop for $shop {
            async fn empty() -> Self {
                $empty.await
            }

            async fn migrate(&self) -> Result<(), StoreError> {
                self.0.migrate(&self.1).await
            }

            fn migrations(&self) -> Vec<String> {
                self.0.migrations()
            }

            fn store(&self) -> SqlStore {
                self.0.store(self.1.clone())
            }

            fn keeping(&self, time: Duration) -> SqlStore {
                self.0.clone().keep_for(time).store(self.1.clone())
            }

            async fn write(&self, messages: Vec<Message>) {
                let mut tx = self.1.begin_with($begin).await.expect("begun");
                self.0.enqueue_all(&mut tx, messages).await.expect("enqueued");
                self.0.commit(tx).await.expect("committed");
            }

            async fn try_retain(&self, keep_for: Duration) -> Result<u64, StoreError> {
                self.0.retain(&self.1, keep_for).await
            }

            async fn replay(&self, replay: Replay) -> Result<u64, StoreError> {
                self.0.replay(&self.1, replay).await
            }

            async fn drop_relay(&self, relay: &str) -> Result<(), StoreError> {
                self.0.drop_relay(&self.1, relay).await
            }

            async fn force_drop_relay(&self, relay: &str) -> Result<(), StoreError> {
                self.0.force_drop_relay(&self.1, relay).await
            }

            async fn status(&self) -> Result<Vec<RelayStatus>, StoreError> {
                self.0.status(&self.1).await
            }

            async fn run(&self, sql: &str) {
                let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.1).await;
                done.unwrap_or_else(|e| panic!("{sql}: {e}"));
            }

            async fn texts(&self, sql: &str) -> Vec<Option<String>> {
                let read = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&self.1).await;
                read.unwrap_or_else(|e| panic!("{sql}: {e}"))
            }
        }
    };
}

shop!(OnPostgres, "begin", async {
    let url = testkit::Postgres::shared().await.database().await;
    Self(Postgres::new(), PgPool::connect(&url).await.expect("a database"))
});
shop!(OnSqlite, "begin immediate", async {
    let path = std::env::temp_dir().join(format!("outbox-test-{}.db", uuid::Uuid::now_v7()));
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).busy_timeout(SOON);
    Self(Sqlite::new(), SqlitePool::connect_with(options).await.expect("a file"), File(path).into())
});

/// Makes a test of each function for each database.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<crate::both::OnPostgres>().await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<crate::both::OnSqlite>().await;
            })*
        }
    };
}
pub(crate) use on_both;
