use std::time::Duration;

use diesel_async::AsyncMysqlConnection;
use outbox_core::{Message, MessageId, StoreError};
use outbox_sql::{Dialect, Window, Writing, Written, cancel};

use super::AsyncMysql;
use super::connection::ask;
use super::enqueue::{self, inside_transaction};

/// Messages for later ([`Message::deliver_at`]) and deduplication keys ([`Message::dedup_key`]).
impl AsyncMysql {
    /// For how long a deduplication key is remembered, from the transaction that wrote its first message. Default: 7
    /// days; 1 s to 365 days. A running relay of any handle deletes what has expired.
    ///
    /// # Errors
    /// `Config` where it is out of bounds.
    pub fn dedup_window(mut self, time: Duration) -> Result<Self, StoreError> {
        self.window = Window::new(time).map_err(|e| e.during("dedup window"))?;
        Ok(self)
    }

    /// Takes back a message that waits until it is due, in the caller's transaction, and frees its deduplication key.
    /// `false` where there is none: it was never scheduled, was cancelled before, or is on its way already.
    ///
    /// A transaction that has cancelled or written the same message and is still open is waited for. In REPEATABLE READ
    /// the cancel of a message that is not there keeps others from scheduling until the transaction ends: use READ
    /// COMMITTED.
    ///
    /// # Errors
    /// `NotInTransaction`: nothing was changed. `Conflict`: run the transaction again. `Schema` where the tables are
    /// missing.
    ///
    /// # Cancel safety
    /// The message was taken back or not; see [`enqueue`](Self::enqueue).
    pub async fn cancel(&self, conn: &mut AsyncMysqlConnection, id: impl Into<MessageId>) -> Result<bool, StoreError> {
        inside_transaction(conn).map_err(|e| e.during("cancel"))?;
        let mut cancelled = false;
        for (sql, params) in cancel(Dialect::Mysql, &self.names, id.into()) {
            cancelled |= !ask(conn, &sql, &params).await.map_err(|e| e.during("cancel"))?.is_empty();
        }
        Ok(cancelled)
    }

    /// Writes messages of which some are for later or have deduplication keys.
    pub(super) async fn write(
        &self,
        conn: &mut AsyncMysqlConnection,
        messages: Vec<Message>,
    ) -> Result<Written, StoreError> {
        let mut writing = Writing::new(Dialect::Mysql, &self.names, self.window, messages);
        while let Some((sql, params)) = writing.statement()? {
            writing.answer(&ask(conn, &sql, &params).await.map_err(|e| e.during("enqueue"))?)?;
        }
        let written = writing.finish();
        enqueue::write(&self.sql, conn, &written.now).await?;
        Ok(written)
    }
}
