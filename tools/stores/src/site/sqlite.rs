use std::path::Path;
use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, RelayBuilder, StoreRelay};
use outbox_sql::RelayStatus;
use outbox_sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Executor, SqlitePool};

use super::{AGGREGATES, Site, sqlx_site};

/// On SQLite, with sqlx: writers wait up to 20 s for their turn.
#[derive(Debug, Clone)]
pub struct SqliteSite {
    url: String,
    pool: SqlitePool,
    outbox: Sqlite,
    begin: &'static str,
}

impl SqliteSite {
    /// With its tables, in a new file.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn new(file: &Path, connections: u32) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(20));
        // A commit that fails on a full disk has ended the transaction; sqlx believes that it goes on, and begins no
        // other on that connection.
        let pool = SqlitePoolOptions::new().max_connections(connections).after_release(|conn, _| {
            Box::pin(async move {
                // Behind a rollback that is under way.
                conn.ping().await?;
                Ok(!conn.is_in_transaction())
            })
        });
        let pool = pool.connect_with(options).await?;
        let outbox = Sqlite::new();
        outbox.migrate(&pool).await?;
        sqlx::raw_sql(
            "create table aggregate (id integer primary key, version integer not null default 0); \
             create table elsewhere (id int)",
        )
        .execute(&pool)
        .await?;
        for id in 0..AGGREGATES {
            let fill = sqlx::query("insert into aggregate (id) values ($1)");
            fill.bind(i64::try_from(id)?).execute(&pool).await?;
        }
        Ok(Self { url: format!("sqlite://{}", file.display()), pool, outbox, begin: "begin immediate" })
    }

    /// Begins its transactions the wrong way: they take the write lock after they have read.
    #[must_use]
    pub fn deferred(self) -> Self {
        Self { begin: "begin deferred", ..self }
    }
}

impl Site for SqliteSite {
    type Tx = sqlx::Transaction<'static, sqlx::Sqlite>;

    fn url(&self) -> &str {
        &self.url
    }

    fn overlapping(&self) -> bool {
        false
    }

    async fn version(&self) -> anyhow::Result<String> {
        let version: String = sqlx::query_scalar("select sqlite_version()").fetch_one(&self.pool).await?;
        Ok(format!("SQLite {version}"))
    }

    async fn begin(&self) -> anyhow::Result<Self::Tx> {
        Ok(self.pool.begin_with(self.begin).await?)
    }

    async fn touch(&self, tx: &mut Self::Tx, aggregate: usize) -> anyhow::Result<u64> {
        let id = i64::try_from(aggregate)?;
        let read = sqlx::query_scalar("select version from aggregate where id = $1");
        let version: i64 = read.bind(id).fetch_one(&mut **tx).await?;
        let write = sqlx::query("update aggregate set version = $2 where id = $1");
        write.bind(id).bind(version + 1).execute(&mut **tx).await?;
        Ok(u64::try_from(version + 1)?)
    }

    async fn foreign(&self) -> anyhow::Result<Vec<Self::Tx>> {
        // One that had written would be the only writer of the file.
        let mut reads = self.pool.begin_with("begin deferred").await?;
        reads.execute("select count(*) from elsewhere").await?;
        Ok(vec![reads])
    }

    async fn lock_relay(&self) -> anyhow::Result<Self::Tx> {
        Ok(self.pool.begin_with("begin immediate").await?)
    }

    sqlx_site!();
}
