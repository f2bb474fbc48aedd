use std::time::Duration;

use diesel::SqliteConnection;
use outbox_core::{MessageId, StoreError};
use outbox_sql::{Dialect, Window, first_time, prune_inbox};

use super::Sqlite;
use super::connection::ask;
use super::enqueue::inside_transaction;
use crate::blocking;

impl Sqlite {
    /// The inbox in the same tables: what a consumer of messages has processed.
    pub fn inbox(&self) -> SqliteInbox {
        SqliteInbox { outbox: self.clone(), window: Window::default() }
    }
}

/// What consumers have processed, so that a message that arrives twice is processed once. Cheap to clone.
///
/// ```no_run
/// # fn example(
/// #     outbox: outbox_diesel::Sqlite, conn: &mut diesel::SqliteConnection, message_id: outbox_core::MessageId,
/// # ) -> Result<(), anyhow::Error> {
/// # use diesel::Connection;
/// let inbox = outbox.inbox();
///
/// conn.transaction::<_, anyhow::Error, _>(|conn| {
///     if inbox.first_time(conn, "billing", message_id)? {
///         // What the message asks for, in this transaction.
///     }
///     Ok(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteInbox {
    outbox: Sqlite,
    window: Window,
}

impl SqliteInbox {
    /// For how long a message is remembered, at least. Default: 7 days; 1 s to 365 days. It has to be longer than a
    /// broker, or a replay, may take to deliver a message again.
    ///
    /// # Errors
    /// `Config` where it is out of bounds.
    pub fn window(mut self, time: Duration) -> Result<Self, StoreError> {
        self.window = Window::new(time).map_err(|e| e.during("inbox"))?;
        Ok(self)
    }

    /// Notes in the caller's transaction that this consumer processes the message: `true` for the first time. Of two
    /// transactions with the same message, the second waits for the first one: if that commits, it is `false`.
    ///
    /// `consumer` names who processes it, in 1 to 255 bytes: each one has the message once.
    ///
    /// # Errors
    /// `NotInTransaction`: nothing was written. `Config` for a name out of bounds. `Conflict`: run the transaction
    /// again. `Schema` where the tables are missing.
    pub fn first_time(
        &self,
        conn: &mut SqliteConnection,
        consumer: &str,
        message: impl Into<MessageId>,
    ) -> Result<bool, StoreError> {
        inside_transaction(conn).map_err(|e| e.during("inbox"))?;
        let mut first = false;
        for (sql, params) in first_time(Dialect::Sqlite, &self.outbox.names, self.window, consumer, message.into())? {
            first |= !ask(conn, &sql, params).map_err(|e| e.during("inbox"))?.is_empty();
        }
        Ok(first)
    }

    /// Deletes what was remembered for long enough, 2,000 messages at a time. Gives how many. Relays on the same tables
    /// do it by themselves; a database without one needs this call now and then.
    ///
    /// # Errors
    /// `Schema` where the tables are missing or of another version. Batches that were deleted before an error stay so.
    ///
    /// # Cancel safety
    /// The batch that was under way was deleted or not.
    pub async fn prune(&self, url: &str) -> Result<u64, StoreError> {
        prune_inbox(&self.outbox.open(url), &self.outbox.names).await
    }

    /// [`prune`](Self::prune) for a program without an async runtime.
    ///
    /// # Errors
    /// As [`prune`](Self::prune); `Config` within an async runtime, which it would block.
    pub fn prune_blocking(&self, url: &str) -> Result<u64, StoreError> {
        blocking::run(self.prune(url))
    }
}
