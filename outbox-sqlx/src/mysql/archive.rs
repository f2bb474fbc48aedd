use std::time::Duration;

use outbox_core::StoreError;
use outbox_sql::Replay;
use sqlx::MySqlPool;

use super::Mysql;
use super::connection::MysqlDriver;

/// What is offered beyond delivery: delivered messages can be kept in a table of their own, and be put back.
impl Mysql {
    /// Relays whose [`store`](Self::store) is of this handle keep what they delivered so long, in `outbox_delivered`;
    /// at most 100 years. It costs a copy of each message. They delete what is older behind their settlements, 1,000 at
    /// a time. Default: nothing is kept.
    #[must_use]
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.keep = Some(time);
        self
    }

    /// Keeps what is delivered for good: [`retain`](Self::retain) deletes it, or the table grows.
    #[must_use]
    pub fn keep_forever(mut self) -> Self {
        self.keep = Some(Duration::MAX);
        self
    }

    /// Deletes now what was delivered longer than `keep_for` ago. Gives how many messages were deleted.
    ///
    /// # Errors
    /// `Schema` where the tables are missing or of another version; `Unavailable` without a database. Batches that were
    /// deleted before an error stay so.
    ///
    /// # Cancel safety
    /// The batch that was under way was deleted or not.
    pub async fn retain(&self, pool: &MySqlPool, keep_for: Duration) -> Result<u64, StoreError> {
        outbox_sql::retain_delivered(&MysqlDriver::of(pool), &self.names, keep_for).await
    }

    /// Puts what a relay delivered, what is kept and what `replay` covers back into the outbox: behind what waits, in
    /// its order, with its id and `created_at`. Gives how many messages these are. Whoever covers their topics delivers
    /// them again. The kept copies stay: doing it twice delivers twice.
    ///
    /// ```no_run
    /// # async fn example(outbox: outbox_sqlx::Mysql, pool: sqlx::MySqlPool) -> Result<(), outbox_core::StoreError> {
    /// use std::time::{Duration, SystemTime};
    ///
    /// use outbox_sqlx::Replay;
    ///
    /// let yesterday = SystemTime::now() - Duration::from_secs(24 * 3_600);
    /// let again = outbox.restore(&pool, Replay::new("orders-to-kafka").from(yesterday).key(7)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Config` where nothing that is kept is covered. `Schema` where the tables are missing or of another version.
    ///
    /// # Cancel safety
    /// All of them were put back, or none.
    pub async fn restore(&self, pool: &MySqlPool, replay: Replay) -> Result<u64, StoreError> {
        outbox_sql::restore(&MysqlDriver::of(pool), &self.names, &replay).await
    }

    /// Forgets a relay name. What it had parked goes back to the messages that wait, behind them; its dead letters
    /// stay.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran, and where a process holds its lease: stop that process first.
    ///
    /// # Cancel safety
    /// The name was forgotten or not.
    pub async fn drop_relay(&self, pool: &MySqlPool, relay: &str) -> Result<(), StoreError> {
        outbox_sql::drop_relay(&MysqlDriver::of(pool), &self.names, relay).await
    }

    /// As [`drop_relay`](Self::drop_relay), also where a lease is held: for one whose process is gone, without waiting
    /// for its end.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran.
    ///
    /// # Cancel safety
    /// As [`drop_relay`](Self::drop_relay).
    pub async fn force_drop_relay(&self, pool: &MySqlPool, relay: &str) -> Result<(), StoreError> {
        outbox_sql::force_drop_relay(&MysqlDriver::of(pool), &self.names, relay).await
    }
}
