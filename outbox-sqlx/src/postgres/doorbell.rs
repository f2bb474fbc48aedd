use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use outbox_core::{StoreError, StoreErrorKind, async_trait};
use outbox_sql::Line;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tokio::time::timeout;

use super::Postgres;
use super::connection::{PgDriver, map};

/// A line that was silent for so long is looked at: a firewall may have forgotten it.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest wait for a connection, and for an answer of a silent one.
const PATIENCE: Duration = Duration::from_secs(5);

impl Postgres {
    /// Wakes relays of other processes too, through `NOTIFY` on a connection of its own: a message is with the relay in
    /// about half a millisecond, where polling takes up to a second.
    ///
    /// `url` names the same database **directly**: `LISTEN` through a pooler in transaction mode (PgBouncer) hears
    /// nothing, without an error. A store finds that out when its relay starts, warns, and goes on polling. Give it to
    /// the handles of the writers and of the relays, with the schema and prefix written in the same way.
    ///
    /// [`commit`](Self::commit) and [`wake`](Self::wake) never wait for a ring, and no transaction of the application
    /// contains one. Many rings while one is under way become one more. The connection that rings is opened with the
    /// first ring; the one that listens, one for all stores of this handle and its clones, with the first relay. They
    /// are opened anew where they were lost, after 100 ms to 30 s. Errors are only logged: a lost ring is a delay, as
    /// without a doorbell. Both end with the last handle and relay.
    ///
    /// # Errors
    /// `Config`, for what is not the URL of a Postgres database.
    pub fn doorbell(self, url: &str) -> Result<Self, StoreError> {
        let ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
        match PgConnectOptions::from_str(url) {
            Ok(options) if ours => Ok(self.doorbell_with(options)),
            // Without the source: it may quote the URL, and so the password.
            _ => Err(StoreError::new(StoreErrorKind::Config, "doorbell").with_detail(
                "this is not the URL of a Postgres database: write postgres://user:password@host:5432/database",
            )),
        }
    }

    /// As [`doorbell`](Self::doorbell), with options in place of a URL: for certificates, a socket, a password from
    /// elsewhere.
    #[must_use]
    pub fn doorbell_with(mut self, options: PgConnectOptions) -> Self {
        self.signal = self.signal.doorbell(Arc::new(PgDriver::new(options)), &self.names);
        self
    }
}

/// Listens, and never ends because of an error of its own.
#[derive(Debug)]
pub(super) struct PgLine(PgListener);

impl PgLine {
    pub(super) async fn listen(options: PgConnectOptions, channel: &str) -> Result<Self, sqlx::Error> {
        // The listener takes its connections from a pool, and must not share one.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(options.disable_statement_logging());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(channel).await?;
        Ok(Self(listener))
    }
}

#[async_trait]
impl Line for PgLine {
    async fn heard(&mut self) -> Result<Option<String>, StoreError> {
        loop {
            if let Ok(heard) = timeout(SILENCE, self.0.try_recv()).await {
                return heard
                    .map(|ring| ring.map(|ring| ring.payload().to_owned()))
                    .map_err(|e| map(e).during("listen"));
            }
            let alive = timeout(PATIENCE, self.0.execute(AssertSqlSafe("select 1".to_owned()))).await;
            alive.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(|e| map(e).during("listen"))?;
        }
    }
}
