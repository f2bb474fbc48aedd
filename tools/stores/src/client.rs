use std::str::FromStr;

use anyhow::{Context, bail};
use outbox_core::{RelayBuilder, StoreRelay, Transport};
use sqlx::{MySqlPool, PgPool, SqlitePool};

use crate::Bug;

/// A library that the outbox works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// sqlx.
    Sqlx,
    /// diesel, whose connections block.
    Diesel,
    /// diesel-async.
    DieselAsync,
}

impl FromStr for Client {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "sqlx" => Ok(Self::Sqlx),
            "diesel" => Ok(Self::Diesel),
            "diesel-async" => Ok(Self::DieselAsync),
            _ => bail!("{name:?} is no client"),
        }
    }
}

/// The name of every relay here.
const NAME: &str = "stores";

/// A relay on the client's store of the database of this URL.
///
/// # Errors
/// For a URL that the client has no store for.
pub fn relay(client: Client, url: &str, transport: impl Transport) -> anyhow::Result<RelayBuilder> {
    Ok(match (client, scheme(url)) {
        (Client::Sqlx, "postgres") => {
            StoreRelay::builder(NAME, outbox_sqlx::Postgres::new().store(PgPool::connect_lazy(url)?), transport)
        }
        (Client::Sqlx, "mysql") => {
            StoreRelay::builder(NAME, outbox_sqlx::Mysql::new().store(MySqlPool::connect_lazy(url)?), transport)
        }
        (Client::Sqlx, "sqlite") => {
            StoreRelay::builder(NAME, outbox_sqlx::Sqlite::new().store(SqlitePool::connect_lazy(url)?), transport)
        }
        (Client::Diesel, "postgres") => StoreRelay::builder(NAME, outbox_diesel::Postgres::new().store(url), transport),
        (Client::Diesel, "mysql") => StoreRelay::builder(NAME, outbox_diesel::Mysql::new().store(url), transport),
        (Client::Diesel, "sqlite") => {
            StoreRelay::builder(NAME, outbox_diesel::Sqlite::new().store(sqlite_path(url)), transport)
        }
        (Client::DieselAsync, "postgres") => {
            StoreRelay::builder(NAME, outbox_diesel::AsyncPostgres::new().store(url), transport)
        }
        (Client::DieselAsync, "mysql") => {
            StoreRelay::builder(NAME, outbox_diesel::AsyncMysql::new().store(url), transport)
        }
        (client, scheme) => bail!("{client:?} has no store on {scheme}"),
    })
}

/// The same on sqlx, with a bug planted into the store.
///
/// # Errors
/// For a database that the bug cannot be planted on.
pub fn relay_with_bug(bug: Bug, url: &str, transport: impl Transport) -> anyhow::Result<RelayBuilder> {
    match scheme(url) {
        "postgres" => {
            let pool = PgPool::connect_lazy(url).context("the pool")?;
            bug.relay(NAME, outbox_sqlx::Postgres::new().driver(&pool), transport)
        }
        "mysql" => {
            let pool = MySqlPool::connect_lazy(url).context("the pool")?;
            bug.relay(NAME, outbox_sqlx::Mysql::new().driver(&pool), transport)
        }
        scheme => bail!("no bug can be planted on {scheme}"),
    }
}

fn scheme(url: &str) -> &str {
    url.split(':').next().unwrap_or_default()
}

/// diesel takes a path.
pub(crate) fn sqlite_path(url: &str) -> &str {
    url.trim_start_matches("sqlite://")
}
