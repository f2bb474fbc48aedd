use anyhow::{Context, Result, bail};
use outbox::sqlx::{Mysql, Postgres, RelayStatus, Replay, Sqlite};
use outbox::{Store, StoreError};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{MySqlPool, PgPool, SqlitePool};

use crate::config::{Keep, OutboxConfig};

/// The same for whichever it is.
macro_rules! any {
    ($self:ident, $outbox:ident, $pool:ident => $what:expr) => {
        match $self {
            Self::Postgres($outbox, $pool) => $what,
            Self::Mysql($outbox, $pool) => $what,
            Self::Sqlite($outbox, $pool) => $what,
        }
    };
}

/// The database of an outbox, by the scheme of its URL. Nothing is connected before it is needed.
#[derive(Debug)]
pub(crate) enum Database {
    Postgres(Postgres, PgPool),
    Mysql(Mysql, MySqlPool),
    Sqlite(Sqlite, SqlitePool),
}

impl Database {
    pub(crate) fn of(config: &OutboxConfig) -> Result<Self> {
        let url = config.url()?;
        // The URL may hold a password, so no error quotes it.
        match url.split(':').next() {
            Some("postgres" | "postgresql") => {
                let mut outbox = Postgres::new();
                if let Some(schema) = &config.schema {
                    outbox = outbox.schema(schema)?;
                }
                if let Some(prefix) = &config.prefix {
                    outbox = outbox.prefix(prefix)?;
                }
                outbox = match config.keep_for()? {
                    Keep::Usual => outbox,
                    Keep::For(time) => outbox.keep_for(time),
                    Keep::Forever => outbox.keep_forever(),
                };
                let options: PgConnectOptions = url.parse().context("the Postgres URL is not valid")?;
                Ok(Self::Postgres(outbox, PgPool::connect_lazy_with(options.application_name("outbox"))))
            }
            Some("mysql" | "mariadb") => {
                let mut outbox = Mysql::new();
                if let Some(schema) = &config.schema {
                    outbox = outbox.schema(schema)?;
                }
                if let Some(prefix) = &config.prefix {
                    outbox = outbox.prefix(prefix)?;
                }
                outbox = match config.keep_for()? {
                    Keep::Usual => outbox,
                    Keep::For(time) => outbox.keep_for(time),
                    Keep::Forever => outbox.keep_forever(),
                };
                let options: MySqlConnectOptions = url.parse().context("the MySQL URL is not valid")?;
                Ok(Self::Mysql(outbox, MySqlPool::connect_lazy_with(options)))
            }
            Some("sqlite") => {
                let mut outbox = Sqlite::new();
                if config.schema.is_some() {
                    bail!("SQLite has no schemas: leave schema out, or use prefix");
                }
                if let Some(prefix) = &config.prefix {
                    outbox = outbox.prefix(prefix)?;
                }
                outbox = match config.keep_for()? {
                    Keep::Usual => outbox,
                    Keep::For(time) => outbox.keep_for(time),
                    Keep::Forever => outbox.keep_forever(),
                };
                let options: SqliteConnectOptions = url.parse().context("the SQLite URL is not valid")?;
                Ok(Self::Sqlite(outbox, SqlitePool::connect_lazy_with(options)))
            }
            _ => {
                bail!("the database URL begins with an unknown scheme: give postgres://..., mysql://... or sqlite:file")
            }
        }
    }

    pub(crate) async fn migrate(&self) -> Result<()> {
        match self {
            Self::Postgres(outbox, pool) => outbox.migrate(pool).await?,
            Self::Mysql(outbox, pool) => outbox.migrate(pool).await?,
            Self::Sqlite(outbox, pool) => {
                // The first migration is what makes the file.
                let options = (*pool.connect_options()).clone().create_if_missing(true);
                outbox.migrate(&SqlitePool::connect_lazy_with(options)).await?;
            }
        }
        Ok(())
    }

    pub(crate) fn migrations(&self) -> Vec<String> {
        any!(self, outbox, _pool => outbox.migrations())
    }

    pub(crate) async fn status(&self) -> Result<Vec<RelayStatus>> {
        Ok(any!(self, outbox, pool => outbox.status(pool).await)?)
    }

    pub(crate) async fn reset(&self, relay: &str) -> Result<(), StoreError> {
        any!(self, outbox, pool => outbox.reset(pool, relay).await)
    }

    /// Whether what was delivered stays where it is, and is replayed under a new name.
    pub(crate) fn is_log(&self) -> bool {
        !matches!(self, Self::Mysql(..))
    }

    /// On a log: makes a new relay name. Else puts back what the relay of that name delivered. Gives how many messages.
    pub(crate) async fn replay(&self, replay: Replay) -> Result<u64, StoreError> {
        match self {
            Self::Postgres(outbox, pool) => outbox.replay(pool, replay).await,
            Self::Mysql(outbox, pool) => outbox.restore(pool, replay).await,
            Self::Sqlite(outbox, pool) => outbox.replay(pool, replay).await,
        }
    }

    pub(crate) async fn drop_relay(&self, relay: &str, force: bool) -> Result<(), StoreError> {
        match force {
            true => any!(self, outbox, pool => outbox.force_drop_relay(pool, relay).await),
            false => any!(self, outbox, pool => outbox.drop_relay(pool, relay).await),
        }
    }

    pub(crate) fn store(&self) -> Box<dyn Store> {
        any!(self, outbox, pool => Box::new(outbox.store(pool.clone())))
    }
}
