use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, RelayBuilder, StoreRelay};
use outbox_sql::RelayStatus;
use outbox_sqlx::Mysql;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{Executor, MySqlPool};

use super::{AGGREGATES, Site, sqlx_site};

/// On MySQL or MariaDB, with sqlx.
#[derive(Debug, Clone)]
pub struct MysqlSite {
    url: String,
    pool: MySqlPool,
    outbox: Mysql,
}

impl MysqlSite {
    /// With its tables, in a new database.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn new(url: String, connections: u32) -> anyhow::Result<Self> {
        Self::with(url, MySqlPoolOptions::new().max_connections(connections)).await
    }

    /// The same with transactions that are SERIALIZABLE.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn serializable(url: String, connections: u32) -> anyhow::Result<Self> {
        let options = MySqlPoolOptions::new().max_connections(connections).after_connect(|conn, _| {
            let sql = "set session transaction isolation level serializable";
            Box::pin(async move { conn.execute(sql).await.map(drop) })
        });
        Self::with(url, options).await
    }

    async fn with(url: String, options: MySqlPoolOptions) -> anyhow::Result<Self> {
        let pool = options.connect(&url).await?;
        let outbox = Mysql::new();
        outbox.migrate(&pool).await?;
        sqlx::raw_sql(
            "create table aggregate (id int primary key, version bigint not null default 0); \
             create table elsewhere (id int)",
        )
        .execute(&pool)
        .await?;
        for id in 0..AGGREGATES {
            let fill = sqlx::query("insert into aggregate (id) values (?)");
            fill.bind(i32::try_from(id)?).execute(&pool).await?;
        }
        Ok(Self { url, pool, outbox })
    }
}

impl Site for MysqlSite {
    type Tx = sqlx::Transaction<'static, sqlx::MySql>;

    fn url(&self) -> &str {
        &self.url
    }

    async fn version(&self) -> anyhow::Result<String> {
        let version: String = sqlx::query_scalar("select version()").fetch_one(&self.pool).await?;
        let name = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
        Ok(format!("{name} {}", version.split('-').next().unwrap_or_default()))
    }

    async fn begin(&self) -> anyhow::Result<Self::Tx> {
        Ok(self.pool.begin().await?)
    }

    async fn touch(&self, tx: &mut Self::Tx, aggregate: usize) -> anyhow::Result<u64> {
        let id = i32::try_from(aggregate)?;
        let read = sqlx::query_scalar("select version from aggregate where id = ? for update");
        let version: i64 = read.bind(id).fetch_one(&mut **tx).await?;
        let write = sqlx::query("update aggregate set version = ? where id = ?");
        write.bind(version + 1).bind(id).execute(&mut **tx).await?;
        Ok(u64::try_from(version + 1)?)
    }

    async fn foreign(&self) -> anyhow::Result<Vec<Self::Tx>> {
        // Reads in REPEATABLE READ, which is the default.
        let mut reads = self.pool.begin_with("start transaction with consistent snapshot").await?;
        reads.execute("select count(*) from elsewhere").await?;
        let mut writes = self.pool.begin().await?;
        writes.execute("insert into elsewhere values (1)").await?;
        Ok(vec![reads, writes])
    }

    async fn lock_relay(&self) -> anyhow::Result<Self::Tx> {
        let mut tx = self.pool.begin().await?;
        tx.execute("select relay from outbox_relay for update").await?;
        Ok(tx)
    }

    sqlx_site!();
}
