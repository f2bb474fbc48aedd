use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, RelayBuilder, StoreRelay};
use outbox_sql::RelayStatus;
use outbox_sqlx::Postgres;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};

use super::{AGGREGATES, Site, sqlx_site};

/// On Postgres, with sqlx.
#[derive(Debug, Clone)]
pub struct PgSite {
    url: String,
    pool: PgPool,
    outbox: Postgres,
}

impl PgSite {
    /// With its tables, in a new database.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn new(url: String, connections: u32) -> anyhow::Result<Self> {
        Self::with(url, PgPoolOptions::new().max_connections(connections)).await
    }

    /// The same with transactions that are SERIALIZABLE.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn serializable(url: String, connections: u32) -> anyhow::Result<Self> {
        let options = PgPoolOptions::new().max_connections(connections).after_connect(|conn, _| {
            Box::pin(async move { conn.execute("set default_transaction_isolation = 'serializable'").await.map(drop) })
        });
        Self::with(url, options).await
    }

    async fn with(url: String, options: PgPoolOptions) -> anyhow::Result<Self> {
        let pool = options.connect(&url).await?;
        let outbox = Postgres::new();
        outbox.migrate(&pool).await?;
        sqlx::raw_sql(
            "create table aggregate (id int primary key, version bigint not null default 0); \
             create table elsewhere (id int)",
        )
        .execute(&pool)
        .await?;
        let fill = "insert into aggregate (id) select generate_series(0, $1 - 1)";
        sqlx::query(fill).bind(i32::try_from(AGGREGATES)?).execute(&pool).await?;
        Ok(Self { url, pool, outbox })
    }
}

impl Site for PgSite {
    type Tx = sqlx::Transaction<'static, sqlx::Postgres>;

    fn url(&self) -> &str {
        &self.url
    }

    async fn version(&self) -> anyhow::Result<String> {
        let version: String = sqlx::query_scalar("show server_version").fetch_one(&self.pool).await?;
        Ok(format!("Postgres {}", version.split(' ').next().unwrap_or_default()))
    }

    async fn begin(&self) -> anyhow::Result<Self::Tx> {
        Ok(self.pool.begin().await?)
    }

    async fn touch(&self, tx: &mut Self::Tx, aggregate: usize) -> anyhow::Result<u64> {
        let id = i32::try_from(aggregate)?;
        let read = sqlx::query_scalar("select version from aggregate where id = $1 for update");
        let version: i64 = read.bind(id).fetch_one(&mut **tx).await?;
        let write = sqlx::query("update aggregate set version = $2 where id = $1");
        write.bind(id).bind(version + 1).execute(&mut **tx).await?;
        Ok(u64::try_from(version + 1)?)
    }

    async fn foreign(&self) -> anyhow::Result<Vec<Self::Tx>> {
        let mut reads = self.pool.begin_with("begin isolation level repeatable read").await?;
        reads.execute("select count(*) from elsewhere").await?;
        let mut writes = self.pool.begin().await?;
        writes.execute("insert into elsewhere values (1)").await?;
        Ok(vec![reads, writes])
    }

    async fn lock_relay(&self) -> anyhow::Result<Self::Tx> {
        let mut tx = self.pool.begin().await?;
        tx.execute("select from outbox_relay for update").await?;
        Ok(tx)
    }

    sqlx_site!();
}
