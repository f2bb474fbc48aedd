use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context;
use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel_async::AsyncConnection;
use outbox_core::{Message, async_trait};
use outbox_sql::RelayStatus;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{MySqlPool, PgPool, SqlitePool};
use stores::Client;

use crate::{Database, Store};

/// An application that writes messages: one transaction after the other, through one client.
#[async_trait]
pub trait Writer: Debug + Send {
    /// One transaction: the first message alone, the others at once. Then it is committed or rolled back.
    async fn write(&mut self, messages: Vec<Message>, commit: bool) -> anyhow::Result<()>;

    /// How the relays of this outbox stand.
    async fn status(&mut self) -> anyhow::Result<Vec<RelayStatus>>;
}

/// Makes the tables, by the store's client.
pub(crate) async fn migrate(store: Store, url: &str) -> anyhow::Result<()> {
    match (store.client, store.database) {
        (Client::Sqlx, Database::Postgres) => outbox_sqlx::Postgres::new().migrate(&PgPool::connect(url).await?).await,
        (Client::Sqlx, Database::Sqlite) => outbox_sqlx::Sqlite::new().migrate(&sqlite(url).await?).await,
        (Client::Sqlx, _) => outbox_sqlx::Mysql::new().migrate(&MySqlPool::connect(url).await?).await,
        (Client::Diesel, Database::Postgres) => outbox_diesel::Postgres::new().migrate(url).await,
        (Client::Diesel, Database::Sqlite) => outbox_diesel::Sqlite::new().migrate(path(url)).await,
        (Client::Diesel, _) => outbox_diesel::Mysql::new().migrate(url).await,
        (Client::DieselAsync, Database::Postgres) => outbox_diesel::AsyncPostgres::new().migrate(url).await,
        (Client::DieselAsync, Database::Sqlite) => anyhow::bail!("diesel-async has no SQLite"),
        (Client::DieselAsync, _) => outbox_diesel::AsyncMysql::new().migrate(url).await,
    }
    .with_context(|| format!("the tables of {store}"))
}

/// A writer by the store's client.
pub(crate) async fn open(store: Store, url: &str) -> anyhow::Result<Box<dyn Writer>> {
    Ok(match (store.client, store.database) {
        (Client::Sqlx, Database::Postgres) => {
            Box::new(SqlxPostgres { outbox: outbox_sqlx::Postgres::new(), pool: PgPool::connect(url).await? })
        }
        (Client::Sqlx, Database::Sqlite) => {
            Box::new(SqlxSqlite { outbox: outbox_sqlx::Sqlite::new(), pool: sqlite(url).await? })
        }
        (Client::Sqlx, _) => {
            Box::new(SqlxMysql { outbox: outbox_sqlx::Mysql::new(), pool: MySqlPool::connect(url).await? })
        }
        (Client::Diesel, Database::Postgres) => Box::new(DieselPostgres::open(url, "select 1").await?),
        (Client::Diesel, Database::Sqlite) => {
            Box::new(DieselSqlite::open(path(url), "pragma busy_timeout = 20000").await?)
        }
        (Client::Diesel, _) => Box::new(DieselMysql::open(url, "do 0").await?),
        (Client::DieselAsync, Database::Postgres) => Box::new(AsyncPostgres::open(url).await?),
        (Client::DieselAsync, Database::Sqlite) => anyhow::bail!("diesel-async has no SQLite"),
        (Client::DieselAsync, _) => Box::new(AsyncMysql::open(url).await?),
    })
}

/// diesel takes a path.
fn path(url: &str) -> &str {
    url.trim_start_matches("sqlite://")
}

async fn sqlite(url: &str) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new().filename(path(url)).create_if_missing(true);
    Ok(SqlitePool::connect_with(options.busy_timeout(Duration::from_secs(20))).await?)
}

macro_rules! sqlx_writer {
    ($name:ident, $outbox:ty, $pool:ty, $($begin:tt)+) => {
        #[derive(Debug)]
        struct $name {
            outbox: $outbox,
            pool: $pool,
        }

        #[async_trait]
        impl Writer for $name {
            async fn write(&mut self, messages: Vec<Message>, commit: bool) -> anyhow::Result<()> {
                let mut messages = messages.into_iter();
                let mut tx = self.pool.$($begin)+.await?;
                self.outbox.enqueue(&mut tx, messages.next().context("a message")?).await?;
                self.outbox.enqueue_all(&mut tx, messages).await?;
                if commit { self.outbox.commit(tx).await? } else { tx.rollback().await? }
                Ok(())
            }

            async fn status(&mut self) -> anyhow::Result<Vec<RelayStatus>> {
                Ok(self.outbox.status(&self.pool).await?)
            }
        }
    };
}
sqlx_writer!(SqlxPostgres, outbox_sqlx::Postgres, PgPool, begin());
sqlx_writer!(SqlxMysql, outbox_sqlx::Mysql, MySqlPool, begin());
sqlx_writer!(SqlxSqlite, outbox_sqlx::Sqlite, SqlitePool, begin_with("begin immediate"));

/// What a transaction of diesel that was to be rolled back ends with.
fn unless_rolled_back(ended: anyhow::Result<()>, commit: bool) -> anyhow::Result<()> {
    match ended {
        Err(e) if !commit && e.downcast_ref() == Some(&diesel::result::Error::RollbackTransaction) => Ok(()),
        ended => ended,
    }
}

fn end(commit: bool) -> anyhow::Result<()> {
    if commit { Ok(()) } else { Err(diesel::result::Error::RollbackTransaction.into()) }
}

macro_rules! diesel_writer {
    ($name:ident, $outbox:ty, $connection:ty, $transaction:ident) => {
        struct $name {
            outbox: $outbox,
            url: String,
            /// On its way while a transaction runs on a thread that may block.
            connection: Option<$connection>,
        }

        impl Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        impl $name {
            async fn open(url: &str, setup: &'static str) -> anyhow::Result<Self> {
                let url = url.to_owned();
                let connect = move || {
                    let mut connection = <$connection>::establish(&url)?;
                    connection.batch_execute(setup)?;
                    anyhow::Ok(Self { outbox: <$outbox>::new(), url, connection: Some(connection) })
                };
                tokio::task::spawn_blocking(connect).await?
            }
        }

        #[async_trait]
        impl Writer for $name {
            async fn write(&mut self, messages: Vec<Message>, commit: bool) -> anyhow::Result<()> {
                let (outbox, mut messages) = (self.outbox.clone(), messages.into_iter());
                let mut connection = self.connection.take().context("a connection")?;
                let write = move || {
                    let ended = connection.$transaction(|conn| {
                        outbox.enqueue(conn, messages.next().context("a message")?)?;
                        outbox.enqueue_all(conn, messages)?;
                        end(commit)
                    });
                    (connection, ended)
                };
                let (connection, ended) = tokio::task::spawn_blocking(write).await?;
                self.connection = Some(connection);
                unless_rolled_back(ended, commit)
            }

            async fn status(&mut self) -> anyhow::Result<Vec<RelayStatus>> {
                Ok(self.outbox.status(&self.url).await?)
            }
        }
    };
}
diesel_writer!(DieselPostgres, outbox_diesel::Postgres, diesel::PgConnection, transaction);
diesel_writer!(DieselMysql, outbox_diesel::Mysql, diesel::MysqlConnection, transaction);
diesel_writer!(DieselSqlite, outbox_diesel::Sqlite, diesel::SqliteConnection, immediate_transaction);

macro_rules! async_writer {
    ($name:ident, $outbox:ty, $connection:ty) => {
        struct $name {
            outbox: $outbox,
            url: String,
            connection: $connection,
        }

        impl Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        impl $name {
            async fn open(url: &str) -> anyhow::Result<Self> {
                let connection = <$connection as AsyncConnection>::establish(url).await?;
                Ok(Self { outbox: <$outbox>::new(), url: url.to_owned(), connection })
            }
        }

        #[async_trait]
        impl Writer for $name {
            async fn write(&mut self, messages: Vec<Message>, commit: bool) -> anyhow::Result<()> {
                let (outbox, mut messages) = (&self.outbox, messages.into_iter());
                let ended = self.connection.transaction(async |conn| {
                    outbox.enqueue(conn, messages.next().context("a message")?).await?;
                    outbox.enqueue_all(conn, messages).await?;
                    end(commit)
                });
                unless_rolled_back(ended.await, commit)
            }

            async fn status(&mut self) -> anyhow::Result<Vec<RelayStatus>> {
                Ok(self.outbox.status(&self.url).await?)
            }
        }
    };
}
async_writer!(AsyncPostgres, outbox_diesel::AsyncPostgres, diesel_async::AsyncPgConnection);
async_writer!(AsyncMysql, outbox_diesel::AsyncMysql, diesel_async::AsyncMysqlConnection);
