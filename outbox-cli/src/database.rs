use anyhow::{Context, Result, bail};
use outbox::StoreError;
use outbox::sqlx::{Postgres, RelayStatus, SqlStore, Sqlite};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{PgPool, SqlitePool};

use crate::config::OutboxConfig;

/// The database of an outbox, by the scheme of its URL. Nothing is connected before it is needed.
#[derive(Debug)]
pub(crate) enum Database {
    Postgres(Postgres, PgPool),
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
                let options: PgConnectOptions = url.parse().context("the Postgres URL is not valid")?;
                Ok(Self::Postgres(outbox, PgPool::connect_lazy_with(options.application_name("outbox"))))
            }
            Some("sqlite") => {
                let mut outbox = Sqlite::new();
                if config.schema.is_some() {
                    bail!("SQLite has no schemas: leave schema out, or use prefix");
                }
                if let Some(prefix) = &config.prefix {
                    outbox = outbox.prefix(prefix)?;
                }
                let options: SqliteConnectOptions = url.parse().context("the SQLite URL is not valid")?;
                Ok(Self::Sqlite(outbox, SqlitePool::connect_lazy_with(options)))
            }
            _ => bail!("the database URL begins with an unknown scheme: give postgres://... or sqlite:file"),
        }
    }

    pub(crate) async fn migrate(&self) -> Result<()> {
        match self {
            Self::Postgres(outbox, pool) => outbox.migrate(pool).await?,
            Self::Sqlite(outbox, pool) => {
                // The first migration is what makes the file.
                let options = (*pool.connect_options()).clone().create_if_missing(true);
                outbox.migrate(&SqlitePool::connect_lazy_with(options)).await?;
            }
        }
        Ok(())
    }

    pub(crate) fn migrations(&self) -> Vec<String> {
        match self {
            Self::Postgres(outbox, _) => outbox.migrations(),
            Self::Sqlite(outbox, _) => outbox.migrations(),
        }
    }

    pub(crate) async fn status(&self) -> Result<Vec<RelayStatus>> {
        Ok(match self {
            Self::Postgres(outbox, pool) => outbox.status(pool).await?,
            Self::Sqlite(outbox, pool) => outbox.status(pool).await?,
        })
    }

    pub(crate) async fn reset(&self, relay: &str) -> Result<(), StoreError> {
        match self {
            Self::Postgres(outbox, pool) => outbox.reset(pool, relay).await,
            Self::Sqlite(outbox, pool) => outbox.reset(pool, relay).await,
        }
    }

    pub(crate) fn store(&self) -> SqlStore {
        match self {
            Self::Postgres(outbox, pool) => outbox.store(pool.clone()),
            Self::Sqlite(outbox, pool) => outbox.store(pool.clone()),
        }
    }
}
