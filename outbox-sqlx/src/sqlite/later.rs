use std::time::Duration;

use outbox_core::{Message, MessageId, StoreError};
use outbox_sql::{Dialect, Window, Writing, Written, cancel};
use sqlx::SqliteConnection;

use super::connection::ask;
use super::{Sqlite, inside_transaction};

/// Messages for later ([`Message::deliver_at`]) and deduplication keys ([`Message::dedup_key`]).
impl Sqlite {
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
    /// Another transaction that writes is waited for as with any other statement.
    ///
    /// # Errors
    /// `NotInTransaction`: nothing was changed. `Conflict`: run the transaction again. `Schema` where the tables are
    /// missing.
    ///
    /// # Cancel safety
    /// The message was taken back or not, within the transaction: roll it back.
    pub async fn cancel(&self, conn: &mut SqliteConnection, id: impl Into<MessageId>) -> Result<bool, StoreError> {
        inside_transaction(conn).map_err(|e| e.during("cancel"))?;
        let mut cancelled = false;
        for (sql, params) in cancel(Dialect::Sqlite, &self.names, id.into()) {
            cancelled |= !ask(conn, &sql, &params).await.map_err(|e| e.during("cancel"))?.is_empty();
        }
        Ok(cancelled)
    }

    /// Writes messages of which some are for later or have deduplication keys.
    pub(super) async fn write(
        &self,
        conn: &mut SqliteConnection,
        messages: Vec<Message>,
    ) -> Result<Written, StoreError> {
        let mut writing = Writing::new(Dialect::Sqlite, &self.names, self.window, messages);
        while let Some((sql, params)) = writing.statement()? {
            writing.answer(&ask(conn, &sql, &params).await.map_err(|e| e.during("enqueue"))?)?;
        }
        let mut written = writing.finish();
        for message in std::mem::take(&mut written.now) {
            self.sql.run(conn, message).await?;
        }
        Ok(written)
    }
}
