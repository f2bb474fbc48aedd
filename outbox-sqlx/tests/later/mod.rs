//! One test for every database: on Postgres, MySQL, MariaDB and SQLite.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{AcquireRequest, Acquired, Lease, Message, MessageId, Store, StoreError, StoreRelay, TopicFilter};
use outbox_sql::{Driver, Param};
use outbox_sqlx::{Mysql, Postgres, Sqlite};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlitePool};

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Tables in a database of their own.
pub(crate) trait Shop: Clone + Send + Sync + 'static {
    /// A transaction of the application's.
    type Tx: Send;
    type Store: Store;
    /// SQL for a list of ids that can be read, and for the current time of what expires.
    const ID: &str;
    const NOW: &str;
    /// Whether two transactions may write at the same time.
    const WRITERS: bool;

    async fn open() -> Self;
    /// As this one, with another deduplication window.
    fn window(&self, time: Duration) -> Result<Self, StoreError>;
    fn begin(&self) -> impl Future<Output = Self::Tx> + Send;
    fn commit(&self, tx: Self::Tx) -> impl Future<Output = ()> + Send;
    fn rollback(&self, tx: Self::Tx) -> impl Future<Output = ()> + Send;
    fn enqueue(
        &self,
        tx: &mut Self::Tx,
        message: Message,
    ) -> impl Future<Output = Result<MessageId, StoreError>> + Send;
    async fn enqueue_all(&self, tx: &mut Self::Tx, messages: Vec<Message>) -> usize;
    async fn cancel(&self, tx: &mut Self::Tx, id: MessageId) -> Result<bool, StoreError>;
    fn first_time(
        &self,
        tx: &mut Self::Tx,
        consumer: &str,
        id: MessageId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
    async fn prune_inbox(&self) -> u64;
    /// What is asked without a transaction: a cancel, and an inbox.
    async fn without_transaction(&self) -> [StoreError; 2];
    fn driver(&self) -> Arc<dyn Driver>;
    /// A store on a driver that wraps that one.
    fn store_on(&self, driver: impl Driver) -> Self::Store;
    async fn run(&self, sql: &str);
    /// In a transaction, as a client that knows nothing of the outbox.
    async fn run_with(&self, statement: (String, Vec<Param>));
    /// A column of text.
    async fn texts(&self, sql: &str) -> Vec<String>;

    async fn write(&self, messages: Vec<Message>) -> usize {
        let mut tx = self.begin().await;
        let written = self.enqueue_all(&mut tx, messages).await;
        self.commit(tx).await;
        written
    }

    fn write_one(&self, message: Message) -> impl Future<Output = MessageId> + Send {
        async move {
            let mut tx = self.begin().await;
            let id = self.enqueue(&mut tx, message).await.expect("enqueued");
            self.commit(tx).await;
            id
        }
    }

    async fn cancel_one(&self, id: MessageId) -> bool {
        let mut tx = self.begin().await;
        let cancelled = self.cancel(&mut tx, id).await.expect("asked");
        self.commit(tx).await;
        cancelled
    }

    fn store(&self) -> Self::Store {
        self.store_on(Shared(self.driver()))
    }

    fn relay(&self, to: &MemoryTransport) -> StoreRelay {
        StoreRelay::builder("relay", self.store(), to.clone()).build().expect("valid settings")
    }

    /// A lease, whose acquisition moves what is due, and whose mover runs from then on.
    async fn lease(&self, store: &Self::Store, name: &str) -> Lease {
        let mut request = AcquireRequest::new(name, uuid::Uuid::now_v7().as_u128());
        request.topics = TopicFilter::new([format!("of {name}")]).expect("a filter");
        match store.acquire(&request).await.expect("acquired") {
            Acquired::Yes(lease, _) => lease,
            Acquired::Held(_) => panic!("the name is held"),
        }
    }

    /// Moves what is due now, at most 5,000 messages.
    async fn move_due(&self) {
        let store = self.store();
        let lease = self.lease(&store, &uuid::Uuid::now_v7().to_string()).await;
        store.release(&lease).await.expect("released");
    }

    /// The event types in `outbox_message`, by seq.
    async fn moved(&self) -> Vec<String> {
        self.texts("select event_type from outbox_message order by seq").await
    }

    /// The event types in `outbox_scheduled`, by event type.
    async fn waiting(&self) -> Vec<String> {
        self.texts("select event_type from outbox_scheduled order by event_type").await
    }

    async fn count(&self, table: &str) -> usize {
        self.texts(&format!("select 'x' from {table}")).await.len()
    }
}

/// A driver behind a pointer.
#[derive(Debug)]
pub(crate) struct Shared(pub(crate) Arc<dyn Driver>);

#[outbox_core::async_trait]
impl Driver for Shared {
    fn dialect(&self) -> outbox_sql::Dialect {
        self.0.dialect()
    }

    async fn connect(&self) -> Result<Box<dyn outbox_sql::Connection>, StoreError> {
        self.0.connect().await
    }
}

#[derive(Debug, Clone)]
pub(crate) struct OnPostgres(pub(crate) Postgres, pub(crate) PgPool);

#[derive(Debug, Clone)]
pub(crate) struct OnMysql(pub(crate) Mysql, pub(crate) MySqlPool);

#[derive(Debug, Clone)]
pub(crate) struct OnMariadb(pub(crate) Mysql, pub(crate) MySqlPool);

#[derive(Debug, Clone)]
pub(crate) struct OnSqlite(pub(crate) Sqlite, pub(crate) SqlitePool, Arc<File>);

/// Removed with the test.
#[derive(Debug)]
pub(crate) struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            _ = std::fs::remove_file(format!("{}{ending}", self.0.display()));
        }
    }
}

macro_rules! shop {
    ($shop:ident, $db:ty, $store:ident, $begin:literal, $id:literal, $now:literal, $writers:literal, $open:expr,
     |$this:ident, $changed:ident| $with:expr) => {
        impl Shop for $shop {
            type Store = outbox_sql::$store;
            type Tx = sqlx::Transaction<'static, $db>;

            const ID: &str = $id;
            const NOW: &str = $now;
            const WRITERS: bool = $writers;

            async fn open() -> Self {
                let shop: Self = $open.await;
                shop.0.migrate(&shop.1).await.expect("migrated");
                shop
            }

            fn window(&self, time: Duration) -> Result<Self, StoreError> {
                let ($this, $changed) = (self, self.0.clone().dedup_window(time)?);
                Ok($with)
            }

            async fn begin(&self) -> Self::Tx {
                self.1.begin_with($begin).await.expect("begun")
            }

            async fn commit(&self, tx: Self::Tx) {
                self.0.commit(tx).await.expect("committed");
            }

            async fn rollback(&self, tx: Self::Tx) {
                tx.rollback().await.expect("rolled back");
            }

            async fn enqueue(&self, tx: &mut Self::Tx, message: Message) -> Result<MessageId, StoreError> {
                self.0.enqueue(tx, message).await
            }

            async fn enqueue_all(&self, tx: &mut Self::Tx, messages: Vec<Message>) -> usize {
                self.0.enqueue_all(tx, messages).await.expect("enqueued")
            }

            async fn cancel(&self, tx: &mut Self::Tx, id: MessageId) -> Result<bool, StoreError> {
                self.0.cancel(tx, id).await
            }

            async fn first_time(&self, tx: &mut Self::Tx, consumer: &str, id: MessageId) -> Result<bool, StoreError> {
                self.0.inbox().first_time(tx, consumer, id).await
            }

            async fn prune_inbox(&self) -> u64 {
                self.0.inbox().prune(&self.1).await.expect("pruned")
            }

            async fn without_transaction(&self) -> [StoreError; 2] {
                let mut conn = self.1.acquire().await.expect("a connection");
                let cancel = self.0.cancel(&mut conn, MessageId::new()).await.expect_err("no transaction");
                let first = self.0.inbox().first_time(&mut conn, "c", MessageId::new()).await;
                [cancel, first.expect_err("no transaction")]
            }

            fn driver(&self) -> Arc<dyn Driver> {
                Arc::new(self.0.driver(&self.1))
            }

            fn store_on(&self, driver: impl Driver) -> Self::Store {
                let names = outbox_sql::Names::default();
                outbox_sql::$store::new(driver, &names, &outbox_sql::Signal::default())
            }

            async fn run(&self, sql: &str) {
                let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.1).await;
                done.unwrap_or_else(|e| panic!("{sql}: {e}"));
            }

            async fn run_with(&self, (sql, params): (String, Vec<Param>)) {
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for param in params {
                    query = match param {
                        Param::Text(text) => query.bind(text),
                        Param::Bytes(bytes) => query.bind(bytes),
                    };
                }
                let mut tx = self.begin().await;
                query.execute(&mut *tx).await.expect("executed");
                tx.commit().await.expect("committed");
            }

            async fn texts(&self, sql: &str) -> Vec<String> {
                let read = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql.to_owned())).fetch_all(&self.1).await;
                read.unwrap_or_else(|e| panic!("{sql}: {e}"))
            }
        }
    };
}

shop!(
    OnPostgres,
    sqlx::Postgres,
    SqlStore,
    "begin",
    "id::text",
    "now()",
    true,
    async {
        let url = testkit::Postgres::shared().await.database().await;
        Self(Postgres::new(), PgPool::connect(&url).await.expect("a database"))
    },
    |shop, changed| Self(changed, shop.1.clone())
);
shop!(
    OnMysql,
    sqlx::MySql,
    QueueStore,
    "start transaction",
    "lower(hex(id))",
    "utc_timestamp(6)",
    true,
    async {
        let url = testkit::Mysql::mysql().await.database().await;
        Self(Mysql::new(), MySqlPool::connect(&url).await.expect("a database"))
    },
    |shop, changed| Self(changed, shop.1.clone())
);
shop!(
    OnMariadb,
    sqlx::MySql,
    QueueStore,
    "start transaction",
    "lower(hex(id))",
    "utc_timestamp(6)",
    true,
    async {
        let url = testkit::Mysql::mariadb().await.database().await;
        Self(Mysql::new(), MySqlPool::connect(&url).await.expect("a database"))
    },
    |shop, changed| Self(changed, shop.1.clone())
);
shop!(
    OnSqlite,
    sqlx::Sqlite,
    SqlStore,
    "begin immediate",
    "lower(hex(id))",
    "cast(unixepoch('subsec') * 1000000 as integer)",
    false,
    async {
        let path = std::env::temp_dir().join(format!("outbox-test-{}.db", uuid::Uuid::now_v7()));
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).busy_timeout(SOON);
        Self(Sqlite::new(), SqlitePool::connect_with(options).await.expect("a file"), File(path).into())
    },
    |shop, changed| Self(changed, shop.1.clone(), shop.2.clone())
);

/// Makes a test of each function for each database.
macro_rules! on_all {
    ($($test:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<crate::later::OnPostgres>().await;
            })*
        }
        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<crate::later::OnMysql>().await;
            })*
        }
        mod on_mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<crate::later::OnMariadb>().await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<crate::later::OnSqlite>().await;
            })*
        }
    };
}
pub(crate) use on_all;
