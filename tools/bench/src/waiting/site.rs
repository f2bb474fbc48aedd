use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use outbox::Store;
use outbox::sqlx::{Mysql, Postgres, Sqlite};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlitePool, Transaction};

use crate::stores::{inserts, remove};

/// A database with the outbox's tables.
pub(super) struct Site {
    pub(super) store: Arc<dyn Store>,
    pool: Pool,
}

enum Pool {
    Postgres(PgPool),
    Mysql(MySqlPool),
    Sqlite(SqlitePool, PathBuf),
}

impl Site {
    pub(super) async fn postgres(url: &str) -> Result<Self> {
        let (pool, outbox) = (PgPool::connect(url).await?, Postgres::new());
        outbox.migrate(&pool).await?;
        Ok(Self { store: Arc::new(outbox.store(pool.clone())), pool: Pool::Postgres(pool) })
    }

    pub(super) async fn mysql(url: &str) -> Result<Self> {
        let (pool, outbox) = (MySqlPool::connect(url).await?, Mysql::new());
        outbox.migrate(&pool).await?;
        Ok(Self { store: Arc::new(outbox.store(pool.clone())), pool: Pool::Mysql(pool) })
    }

    pub(super) async fn sqlite(name: &str) -> Result<Self> {
        let file = PathBuf::from(format!("target/bench/{name}-{}.db", std::process::id()));
        std::fs::create_dir_all("target/bench")?;
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let (pool, outbox) = (SqlitePool::connect_with(options).await?, Sqlite::new());
        outbox.migrate(&pool).await?;
        Ok(Self { store: Arc::new(outbox.store(pool.clone())), pool: Pool::Sqlite(pool, file) })
    }

    /// So many messages that are due tomorrow.
    pub(super) async fn schedule(&self, messages: usize) -> Result<()> {
        let sql = |text: &str| std::iter::once(text.replace("{N}", &messages.to_string()));
        match &self.pool {
            Pool::Postgres(pool) => fill(pool.begin().await?, sql(SCHEDULED[0])).await,
            Pool::Mysql(pool) => fill(pool.begin().await?, sql(SCHEDULED[1])).await,
            Pool::Sqlite(pool, _) => fill(pool.begin().await?, sql(SCHEDULED[2])).await,
        }
    }

    /// In one transaction: a relay sees all of them at once.
    pub(super) async fn insert(&self, rows: usize, key: impl Fn(usize) -> String) -> Result<()> {
        let column = if matches!(self.pool, Pool::Mysql(_)) { "`key`" } else { "key" };
        let sql = inserts(column, rows, key);
        match &self.pool {
            Pool::Postgres(pool) => fill(pool.begin().await?, sql).await,
            Pool::Mysql(pool) => fill(pool.begin().await?, sql).await,
            Pool::Sqlite(pool, _) => fill(pool.begin_with("begin immediate").await?, sql).await,
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Pool::Sqlite(_, file) = &self.pool {
            remove(file);
        }
    }
}

/// Messages for tomorrow.
const SCHEDULED: [&str; 3] = [
    "insert into outbox_scheduled (due_at, topic, event_type, payload) \
        select now() + interval '1 day' + i * interval '1 ms', 'later', 'e', ''::bytea from generate_series(1, {N}) i",
    "set session cte_max_recursion_depth = {N}; insert into outbox_scheduled (due_at, topic, event_type, payload) \
        with recursive n (i) as (select 1 union all select i + 1 from n where i < {N}) \
        select timestampadd(microsecond, i, timestampadd(day, 1, utc_timestamp(6))), 'later', 'e', '' from n",
    "insert into outbox_scheduled (due_at, topic, event_type, payload) \
        with recursive n (i) as (select 1 union all select i + 1 from n where i < {N}) \
        select (unixepoch() + 86400) * 1000000 + i, 'later', 'e', x'' from n",
];

async fn fill<DB>(mut tx: Transaction<'_, DB>, sql: impl Iterator<Item = String>) -> Result<()>
where
    DB: sqlx::Database,
    for<'c> &'c mut DB::Connection: sqlx::Executor<'c, Database = DB>,
{
    for sql in sql {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}
