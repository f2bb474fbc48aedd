use std::time::Duration;

use testcontainers::ImageExt;

use crate::handle::Recipe;
use crate::kind::POSTGRES_17;
use crate::{Postgres, Server, admin, eventually, free_port, shared};

const PATIENCE: Duration = Duration::from_secs(60);

/// A PostgreSQL 17 of this test's own with an asynchronous standby, both with real fsync; removed on drop.
///
/// A commit is acknowledged before the standby has it. Whoever kills the primary and promotes the standby loses what
/// was still on its way.
#[derive(Debug)]
pub struct PostgresPair {
    primary: Postgres,
    standby: Postgres,
}

impl PostgresPair {
    /// Starts the primary, and the standby from a base backup of it.
    ///
    /// # Panics
    /// If there is no Docker engine, or a server does not start.
    pub async fn own() -> Self {
        let primary = start(None).await;
        let standby = start(Some(primary.port())).await;
        Self { primary, standby }
    }

    /// The server that takes writes until it is killed. Started again after a promotion, it would be a second primary.
    #[must_use]
    pub fn primary(&self) -> &Postgres {
        &self.primary
    }

    /// Readable from the start; takes writes once it is [promoted](Self::promote).
    #[must_use]
    pub fn standby(&self) -> &Postgres {
        &self.standby
    }

    /// A new empty database: its URL at the primary, and at the standby, which has it by then.
    pub async fn database(&self) -> (String, String) {
        let url = self.primary.database().await;
        self.replicated().await;
        let mut there = admin::parsed(&url);
        there.set_port(Some(self.standby.port())).expect("a URL with a host");
        (url, there.into())
    }

    /// Returns when the standby shows all that the primary had at the call.
    ///
    /// # Panics
    /// If that takes more than a minute.
    pub async fn replicated(&self) {
        let position = ask(self.primary.url(), "SELECT pg_current_wal_lsn()::text").await;
        let shows = format!("SELECT (pg_last_wal_replay_lsn() >= '{position}')::text");
        eventually("the standby shows what the primary has", PATIENCE, async || {
            ask(self.standby.url(), &shows).await == "true"
        })
        .await;
    }

    /// Makes the standby a primary of its own; returns when it takes writes. The primary should have been killed.
    ///
    /// # Panics
    /// If it is one already, or that takes more than a minute.
    pub async fn promote(&self) {
        let promoted = ask(self.standby.url(), "SELECT pg_promote(true, 60)::text").await;
        assert_eq!(promoted, "true", "the standby is not promoted within a minute");
    }
}

async fn ask(url: &str, sql: &str) -> String {
    admin::ask_postgres(url, sql).await.unwrap_or_else(|e| panic!("{sql} at {url}: {e}"))
}

/// A primary, or a standby of the primary at this port. In the host's network, where the image lets a standby in.
async fn start(primary: Option<u16>) -> Postgres {
    let (container, port) = shared::own(POSTGRES_17.url_variable, || {
        let port = free_port();
        let settings = ["-c", "listen_addresses=127.0.0.1", "-c", "wal_keep_size=1GB"];
        let settings = POSTGRES_17.durable_settings().chain(settings);
        let image = POSTGRES_17.image().with_env_var("PGPORT", port.to_string());
        let image = match primary {
            None => image.with_cmd(settings),
            Some(primary) => {
                let backup = format!("pg_basebackup -R -X stream -c fast -h 127.0.0.1 -p {primary} -U postgres");
                let script = format!("[ -s $PGDATA/PG_VERSION ] || {backup} -D $PGDATA; exec postgres \"$@\"");
                let command = ["bash", "-ec", &script, "standby"].map(str::to_owned);
                let command = command.into_iter().chain(settings.map(str::to_owned));
                image.with_env_var("PGPASSWORD", "test").with_user("postgres").with_cmd(command)
            }
        };
        (image, vec![], port)
    })
    .await;
    Postgres(Server::started(&POSTGRES_17, POSTGRES_17.url_at(port), container).await)
}
