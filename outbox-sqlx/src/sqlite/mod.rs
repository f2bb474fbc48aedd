mod connection;
mod enqueue;
mod inbox;
mod later;
mod lock;
mod log;

use outbox_core::{IntoMessage, Limits, MessageId, StoreError, StoreErrorKind};
use outbox_sql::{Dialect, Keep, Names, RelayStatus, Signal, SqlStore, Window, Writing};
use sqlx::{Connection, SqliteConnection, SqlitePool};

use crate::error;
use connection::SqliteDriver;
pub use inbox::SqliteInbox;

/// The outbox in a SQLite file. Cheap to clone; clones wake the same relays.
///
/// The relay switches the file to write-ahead logging, so that it never waits for readers. Let transactions that write
/// begin with `BEGIN IMMEDIATE` (`pool.begin_with("BEGIN IMMEDIATE")`): one that reads first and writes later fails
/// where another wrote in between.
///
/// A commit that fails because the disk is full has ended its transaction. sqlx takes it for open
/// ([sqlx 3742](https://github.com/launchbadge/sqlx/issues/3742)), and `begin_with` fails on that connection for ever,
/// also when there is space again. Let the pool close such connections:
///
/// ```
/// use sqlx::Connection;
/// use sqlx::sqlite::SqlitePoolOptions;
///
/// let pool = SqlitePoolOptions::new().after_release(|conn, _| {
///     Box::pin(async move {
///         conn.ping().await?; // Behind a rollback that is under way.
///         Ok(!conn.is_in_transaction())
///     })
/// });
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sqlite {
    names: Names,
    limits: Limits,
    window: Window,
    keep: Keep,
    signal: Signal,
    sql: enqueue::Insert,
}

impl Sqlite {
    /// Tables named `outbox_...`, [`Limits::DEFAULT`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Tables named `{prefix}_message` and so on, and a view named `{prefix}`. Default `outbox`.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,39}`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        self.names = self.names.prefix(prefix)?;
        self.sql = enqueue::Insert::new(&self.names);
        Ok(self)
    }

    /// What a message may be; those of the transport ([`Limits::KAFKA`]) find a wrong message where it is made.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Brings the tables to this version. Does nothing where they are; safe to run from many processes at once.
    ///
    /// # Errors
    /// `Schema` where the tables are newer than this code; `Unavailable` where the file cannot be opened.
    pub async fn migrate(&self, pool: &SqlitePool) -> Result<(), StoreError> {
        outbox_sql::migrate(&SqliteDriver::of(pool), &self.names).await
    }

    /// The migrations as SQL, oldest first: to be run by another tool.
    pub fn migrations(&self) -> Vec<String> {
        outbox_sql::migrations(Dialect::Sqlite, &self.names)
    }

    /// Writes a message in the caller's transaction: a `Transaction`, or a connection that sqlx has begun one on.
    ///
    /// Gives its id. One that is for later waits until it is due, and can be [cancelled](Self::cancel); one with a
    /// deduplication key that is known is not written, and the id is that of the first one.
    ///
    /// # Errors
    /// `InvalidMessage` where a part is out of the limits, and `NotInTransaction`: nothing was written, the transaction
    /// goes on. `Conflict` where another transaction writes: roll back and run it again. `Schema` where the tables are
    /// missing.
    ///
    /// # Cancel safety
    /// The message was written or not, within the transaction: roll it back.
    pub async fn enqueue(
        &self,
        conn: &mut SqliteConnection,
        message: impl IntoMessage,
    ) -> Result<MessageId, StoreError> {
        let message = message.into_message()?;
        self.limits.check(&message)?;
        inside_transaction(conn)?;
        let mut id = message.id;
        if Writing::is_needed(std::slice::from_ref(&message)) {
            id = self.write(conn, vec![message]).await?.ids.first().copied().unwrap_or(id);
        } else {
            self.sql.run(conn, message).await?;
        }
        self.signal.wake();
        Ok(id)
    }

    /// Writes many messages in the caller's transaction, in this order. Returns how many, without those left
    /// out because of their deduplication keys.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue). All messages are checked before the first one is written.
    ///
    /// # Cancel safety
    /// Some of the messages were written, within the transaction: roll it back.
    pub async fn enqueue_all<M: IntoMessage>(
        &self,
        conn: &mut SqliteConnection,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, StoreError> {
        let messages: Vec<_> = messages.into_iter().map(M::into_message).collect::<Result<_, _>>()?;
        messages.iter().try_for_each(|m| self.limits.check(m))?;
        inside_transaction(conn)?;
        let mut written = messages.len();
        if Writing::is_needed(&messages) {
            written = self.write(conn, messages).await?.written;
        } else {
            for message in messages {
                self.sql.run(conn, message).await?;
            }
        }
        self.signal.wake();
        Ok(written)
    }

    /// Commits, and wakes the relays of this handle and its clones. With `tx.commit()` they find it by polling.
    ///
    /// # Errors
    /// Those of the commit; `Conflict` where another transaction holds the file: roll back and run it again.
    pub async fn commit(&self, tx: sqlx::Transaction<'_, sqlx::Sqlite>) -> Result<(), StoreError> {
        tx.commit().await.map_err(|e| connection::map(e).during("commit"))?;
        self.wake();
        Ok(())
    }

    /// Wakes the relays of this handle and its clones: there may be new messages.
    pub fn wake(&self) {
        self.signal.wake();
    }

    /// What a relay reads from. It opens connections of its own with the pool's options (one while it stands by, then
    /// two, a third one for [`keep_for`](Self::keep_for), and one for messages that become due); the pool itself is not
    /// used.
    pub fn store(&self, pool: SqlitePool) -> SqlStore {
        SqlStore::new(SqliteDriver::of(&pool), &self.names, &self.signal).keep(self.keep)
    }

    /// sqlx as the engine sees it: for a [`SqlStore::new`] on a driver that wraps this one, to watch or to disturb what
    /// a relay asks. Opens connections with the pool's options.
    pub fn driver(&self, pool: &SqlitePool) -> impl outbox_sql::Driver + use<> {
        SqliteDriver::of(pool)
    }

    /// How every relay name stands.
    ///
    /// # Errors
    /// `Schema` where the tables are missing.
    pub async fn status(&self, pool: &SqlitePool) -> Result<Vec<RelayStatus>, StoreError> {
        outbox_sql::status(&SqliteDriver::of(pool), &self.names).await
    }

    /// Starts a relay name from the first message that is kept: what was delivered before is delivered again.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran.
    pub async fn reset(&self, pool: &SqlitePool, relay: &str) -> Result<(), StoreError> {
        outbox_sql::reset(&SqliteDriver::of(pool), &self.names, relay).await
    }
}

fn inside_transaction(conn: &SqliteConnection) -> Result<(), StoreError> {
    if conn.is_in_transaction() { Ok(()) } else { Err(error::not_in_transaction()) }
}

/// [Result codes](https://www.sqlite.org/rescode.html); the extended ones keep the primary one in their low byte.
fn kind(code: &str, message: &str) -> StoreErrorKind {
    let code = code.parse::<u32>().unwrap_or(0);
    let unknown = ["no such table", "no such column", "has no column", "no such function"];
    match code & 0xff {
        5 | 6 => StoreErrorKind::Conflict,
        10 | 13 | 14 => StoreErrorKind::Unavailable,
        1 if unknown.iter().any(|text| message.contains(text)) => StoreErrorKind::Schema,
        19 if code == 275 => StoreErrorKind::InvalidMessage,
        _ => StoreErrorKind::Unexpected,
    }
}
