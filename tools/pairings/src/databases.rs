use tempfile::TempDir;
use testkit::{Mysql, Postgres};

use crate::{Database, Store, Writer, writer};

/// The servers that tests share, and a folder for files.
#[derive(Debug)]
pub struct Databases {
    postgres: Postgres,
    mysql: Mysql,
    mariadb: Mysql,
    folder: TempDir,
}

impl Databases {
    /// Finds or starts them.
    ///
    /// # Errors
    /// Where there can be no folder.
    ///
    /// # Panics
    /// Where a server can be neither found nor started.
    pub async fn start() -> anyhow::Result<Self> {
        let (postgres, mysql, mariadb) = tokio::join!(Postgres::shared(), Mysql::mysql(), Mysql::mariadb());
        Ok(Self { postgres, mysql, mariadb, folder: tempfile::tempdir()? })
    }

    /// A new database for this store, its URL, with the tables in it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fresh(&self, store: Store, name: &str) -> anyhow::Result<String> {
        let url = match store.database {
            Database::Postgres => self.postgres.database().await,
            Database::Mysql => self.mysql.database().await,
            Database::Mariadb => self.mariadb.database().await,
            Database::Sqlite => format!("sqlite://{}", self.folder.path().join(format!("{name}.db")).display()),
        };
        writer::migrate(store, &url).await?;
        Ok(url)
    }

    /// One who writes messages there, by the store's own client.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn writer(&self, store: Store, url: &str) -> anyhow::Result<Box<dyn Writer>> {
        writer::open(store, url).await
    }
}
