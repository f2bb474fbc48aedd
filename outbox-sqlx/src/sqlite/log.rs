use std::time::Duration;

use outbox_core::StoreError;
use outbox_sql::{Keep, Replay};
use sqlx::SqlitePool;

use super::Sqlite;
use super::connection::SqliteDriver;

/// What a log offers beyond delivery: settled messages are kept for a while, and can be delivered again.
impl Sqlite {
    /// How long messages are kept after every relay name has settled them. Default: 7 days; at most 100 years. A
    /// running relay whose [`store`](Self::store) is of this handle deletes older ones, a few thousand at a time, for
    /// at most a tenth of the time. Of several processes with different times the shortest counts.
    #[must_use]
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.keep = Keep::For(time);
        self
    }

    /// The relays of this handle delete nothing: [`retain`](Self::retain) does, or the table grows.
    #[must_use]
    pub fn keep_forever(mut self) -> Self {
        self.keep = Keep::Forever;
        self
    }

    /// Deletes now what every relay name has settled and what is older than `keep_for`, without a rest between batches.
    /// Gives how many messages were deleted; without any relay name, none. A parked message is kept.
    ///
    /// # Errors
    /// `Schema` where the tables are missing or of another version; `Unavailable` without a database. Batches that were
    /// deleted before an error stay so.
    ///
    /// # Cancel safety
    /// The batch that was under way was deleted or not.
    pub async fn retain(&self, pool: &SqlitePool, keep_for: Duration) -> Result<u64, StoreError> {
        outbox_sql::retain(&SqliteDriver::of(pool), &self.names, keep_for).await
    }

    /// Makes a new relay name over messages that are kept, those that `replay` covers. Gives how many are covered so
    /// far; a relay of that name delivers them, in order per key. When it is through,
    /// [`drop_relay`](Self::drop_relay) it: what it has not settled cannot be deleted.
    ///
    /// ```no_run
    /// # async fn example(outbox: outbox_sqlx::Sqlite, pool: sqlx::SqlitePool) -> Result<(), outbox_core::StoreError> {
    /// use std::time::{Duration, SystemTime};
    ///
    /// use outbox_sqlx::Replay;
    ///
    /// let yesterday = SystemTime::now() - Duration::from_secs(24 * 3_600);
    /// let covered = outbox.replay(&pool, Replay::new("orders-again").from(yesterday).topics(["orders", "order.*"])?).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Config` where the name is there already, where the times leave nothing, and where nothing is covered and
    /// nothing can come. `Schema` where the tables are missing or of another version.
    ///
    /// # Cancel safety
    /// The name was made or not.
    pub async fn replay(&self, pool: &SqlitePool, replay: Replay) -> Result<u64, StoreError> {
        outbox_sql::replay(&SqliteDriver::of(pool), &self.names, &replay).await
    }

    /// Forgets a relay name: its cursor, and what it had parked. Its dead letters stay. It pins no message any longer.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran, and where a process holds its lease: stop that process first.
    ///
    /// # Cancel safety
    /// The name was forgotten or not.
    pub async fn drop_relay(&self, pool: &SqlitePool, relay: &str) -> Result<(), StoreError> {
        outbox_sql::drop_relay(&SqliteDriver::of(pool), &self.names, relay).await
    }

    /// As [`drop_relay`](Self::drop_relay), also where a lease is held: for one whose process is gone, without waiting
    /// for its end. A process that still runs it begins anew, and delivers all that is kept again.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran.
    ///
    /// # Cancel safety
    /// As [`drop_relay`](Self::drop_relay).
    pub async fn force_drop_relay(&self, pool: &SqlitePool, relay: &str) -> Result<(), StoreError> {
        outbox_sql::force_drop_relay(&SqliteDriver::of(pool), &self.names, relay).await
    }
}
