//! A new database with the outbox's tables, and what a relay delivers of it.

use std::time::Duration;

use outbox::memory::{MemoryTransport, SentMessage};
use outbox::{Relay, Store, StoreRelay};
use outbox_sqlx::{Mysql, Postgres, Sqlite};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlitePool};

const SOON: Duration = Duration::from_secs(60);

pub(crate) enum Pool {
    Postgres(PgPool),
    Mysql(MySqlPool),
    Sqlite(SqlitePool),
}

pub(crate) struct Db {
    /// What stands after the language of a code block of the guide.
    pub(crate) name: &'static str,
    /// For other programs: a URL, or the path of a file.
    pub(crate) url: String,
    pub(crate) pool: Pool,
    relay: StoreRelay,
    sent: MemoryTransport,
}

impl Db {
    pub(crate) async fn postgres() -> Self {
        let url = testkit::Postgres::shared().await.database().await;
        let (outbox, pool) = (Postgres::new(), PgPool::connect(&url).await.unwrap());
        outbox.migrate(&pool).await.unwrap();
        Self::of("postgres", url, outbox.store(pool.clone()), Pool::Postgres(pool))
    }

    pub(crate) async fn mysql() -> Self {
        Self::of_mysql("mysql", testkit::Mysql::mysql().await.database().await).await
    }

    pub(crate) async fn mariadb() -> Self {
        Self::of_mysql("mariadb", testkit::Mysql::mariadb().await.database().await).await
    }

    async fn of_mysql(name: &'static str, url: String) -> Self {
        let (outbox, pool) = (Mysql::new(), MySqlPool::connect(&url).await.unwrap());
        outbox.migrate(&pool).await.unwrap();
        Self::of(name, url, outbox.store(pool.clone()), Pool::Mysql(pool))
    }

    pub(crate) async fn sqlite(test: &str) -> Self {
        let url = format!("{}/any-language-{test}-{}.db", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        // A process of the same number may have left one.
        ["", "-wal", "-shm"].iter().for_each(|ending| _ = std::fs::remove_file(format!("{url}{ending}")));
        let options = SqliteConnectOptions::new().filename(&url).create_if_missing(true);
        let (outbox, pool) = (Sqlite::new(), SqlitePool::connect_with(options).await.unwrap());
        outbox.migrate(&pool).await.unwrap();
        Self::of("sqlite", url, outbox.store(pool.clone()), Pool::Sqlite(pool))
    }

    fn of(name: &'static str, url: String, store: impl Store + 'static, pool: Pool) -> Self {
        let sent = MemoryTransport::new();
        let relay = StoreRelay::builder("test", store, sent.clone()).build().unwrap();
        Self { name, url, pool, relay, sent }
    }

    /// Runs SQL as a command line would: as text, any number of statements.
    pub(crate) async fn try_run(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &self.pool {
            Pool::Postgres(pool) => sql.execute(pool).await.map(drop),
            Pool::Mysql(pool) => sql.execute(pool).await.map(drop),
            Pool::Sqlite(pool) => sql.execute(pool).await.map(drop),
        }
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.try_run(sql).await.unwrap_or_else(|e| panic!("{}: {e}\n{sql}", self.name));
    }

    /// How many rows the table has.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = AssertSqlSafe(format!("select count(*) from {table}"));
        match &self.pool {
            Pool::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
            Pool::Mysql(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
            Pool::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
        }
    }

    /// What was written since the last call, as a relay delivers it.
    pub(crate) async fn delivered(&self) -> Vec<SentMessage> {
        self.relay.until_drained(SOON).await.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        self.sent.take()
    }
}
