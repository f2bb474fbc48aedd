use std::path::PathBuf;

use tempfile::TempDir;
use testkit::{Mysql, Postgres, Proxy, Server};

use super::small_disk::SmallDisk;
use crate::{DatabaseKind, Fault};

/// Bytes: Postgres brings 40 MiB, MySQL 200, and each needs room for its log.
const POSTGRES_DISK: u64 = 160 << 20;
const MYSQL_DISK: u64 = 800 << 20;
const SQLITE_DISK: u64 = 64 << 20;

/// A database of the rig's own behind a proxy, or a folder for files.
#[derive(Debug)]
pub(super) enum Database {
    Postgres(Postgres, Proxy),
    Mysql(Mysql, Proxy),
    Sqlite(TempDir),
    SmallSqlite(SmallDisk),
}

impl Database {
    /// Fit for this fault: only one with a small disk can be full.
    pub(super) async fn start(kind: DatabaseKind, fault: Fault) -> anyhow::Result<Self> {
        let full = fault == Fault::DatabaseFull;
        Ok(match kind {
            DatabaseKind::Postgres => {
                let server = if full { Postgres::own_small(POSTGRES_DISK).await } else { Postgres::own().await };
                let proxy = before(&server).await?;
                Self::Postgres(server, proxy)
            }
            DatabaseKind::Mysql => {
                let server = if full { Mysql::own_small_mysql(MYSQL_DISK).await } else { Mysql::own_mysql().await };
                let proxy = before(&server).await?;
                Self::Mysql(server, proxy)
            }
            DatabaseKind::Sqlite if full => Self::SmallSqlite(SmallDisk::mount(SQLITE_DISK)?),
            DatabaseKind::Sqlite => Self::Sqlite(tempfile::tempdir()?),
        })
    }

    /// A new database: its URL for relays and writers, by the proxy, and one past it.
    pub(super) async fn fresh(&self, name: &str) -> (String, String) {
        let file = |dir: &std::path::Path| -> PathBuf { dir.join(format!("{name}.db")) };
        let (server, proxy): (&Server, _) = match self {
            Self::Postgres(server, proxy) => (server, proxy),
            Self::Mysql(server, proxy) => (server, proxy),
            Self::Sqlite(dir) => return same(format!("sqlite://{}", file(dir.path()).display())),
            Self::SmallSqlite(disk) => return same(format!("sqlite://{}", file(disk.path()).display())),
        };
        let direct = server.database().await;
        let by_proxy = direct.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.addr().port()));
        assert_ne!(direct, by_proxy, "the URL goes by the proxy");
        (by_proxy, direct)
    }

    pub(super) fn server(&self) -> Option<(&Server, &Proxy)> {
        match self {
            Self::Postgres(server, proxy) => Some((server, proxy)),
            Self::Mysql(server, proxy) => Some((server, proxy)),
            Self::Sqlite(_) | Self::SmallSqlite(_) => None,
        }
    }

    /// Takes all space on its disk, waits, and gives it back.
    pub(super) async fn be_full(&self, during: impl Future<Output = ()>) -> anyhow::Result<()> {
        match (self, self.server()) {
            (Self::SmallSqlite(disk), _) => {
                disk.fill()?;
                during.await;
                disk.free()
            }
            (_, Some((server, _))) => {
                server.fill_disk().await;
                during.await;
                server.free_disk().await;
                Ok(())
            }
            _ => anyhow::bail!("its disk is not its own"),
        }
    }
}

fn same(url: String) -> (String, String) {
    (url.clone(), url)
}

async fn before(server: &Server) -> anyhow::Result<Proxy> {
    Ok(Proxy::start(format!("127.0.0.1:{}", server.port())).await?)
}
