mod connection;
mod enqueue;
mod inbox;
mod later;
mod lock;
mod log;

use diesel::SqliteConnection;
use diesel::result::DatabaseErrorKind;
use outbox_core::{IntoMessage, Limits, MessageId, StoreError, StoreErrorKind};
use outbox_sql::{Dialect, Keep, Names, RelayStatus, Signal, SqlStore, Window, Writing};

use crate::blocking;
use crate::worker::Threads;
use connection::SqliteDriver;
pub use inbox::SqliteInbox;

/// The outbox in a SQLite file, through diesel. Cheap to clone; clones wake the same relays.
///
/// The relay switches the file to write-ahead logging, so that it never waits for readers. diesel sets no busy timeout:
/// run `pragma busy_timeout = 5000` on every connection, and let transactions that write begin with
/// `conn.immediate_transaction(..)`. One that reads first and writes later fails where another wrote in between.
#[derive(Debug, Clone, Default)]
pub struct Sqlite {
    names: Names,
    limits: Limits,
    window: Window,
    keep: Keep,
    signal: Signal,
    sql: enqueue::Insert,
    threads: Threads,
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

    fn open(&self, url: &str) -> SqliteDriver {
        SqliteDriver::new(url, &self.threads)
    }

    /// Brings the tables of the file at `url` to this version. Does nothing where they are; safe to run from many
    /// processes at once.
    ///
    /// # Errors
    /// `Schema` where the tables are newer than this code; `Unavailable` where the file cannot be opened.
    pub async fn migrate(&self, url: &str) -> Result<(), StoreError> {
        outbox_sql::migrate(&self.open(url), &self.names).await
    }

    /// [`migrate`](Self::migrate) for a program without an async runtime.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate); `Config` within an async runtime, which it would block.
    pub fn migrate_blocking(&self, url: &str) -> Result<(), StoreError> {
        blocking::run(self.migrate(url))
    }

    /// The migrations as SQL, oldest first: to be run by another tool.
    pub fn migrations(&self) -> Vec<String> {
        outbox_sql::migrations(Dialect::Sqlite, &self.names)
    }

    /// Writes a message in the caller's transaction: inside the closure of `conn.immediate_transaction(..)` or
    /// `conn.transaction(..)`. A pooled connection will do as well.
    ///
    /// Gives its id. One that is for later waits until it is due, and can be [cancelled](Self::cancel); one with a
    /// deduplication key that is known is not written, and the id is that of the first one.
    ///
    /// # Errors
    /// `InvalidMessage` where a part is out of the limits, and `NotInTransaction`: nothing was written, the transaction
    /// goes on. `Conflict` where another transaction writes: roll back and run it again. `Schema` where the tables are
    /// missing.
    pub fn enqueue(&self, conn: &mut SqliteConnection, message: impl IntoMessage) -> Result<MessageId, StoreError> {
        let message = message.into_message()?;
        self.limits.check(&message)?;
        enqueue::inside_transaction(conn)?;
        let mut id = message.id;
        if Writing::is_needed(std::slice::from_ref(&message)) {
            id = self.write(conn, vec![message])?.ids.first().copied().unwrap_or(id);
        } else {
            self.sql.run(conn, &message)?;
        }
        self.signal.wake();
        Ok(id)
    }

    /// Writes many messages in the caller's transaction, in this order. Returns how many, without those left
    /// out because of their deduplication keys.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue). All messages are checked before the first one is written.
    pub fn enqueue_all<M: IntoMessage>(
        &self,
        conn: &mut SqliteConnection,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, StoreError> {
        let messages: Vec<_> = messages.into_iter().map(M::into_message).collect::<Result<_, _>>()?;
        messages.iter().try_for_each(|m| self.limits.check(m))?;
        enqueue::inside_transaction(conn)?;
        let mut written = messages.len();
        if Writing::is_needed(&messages) {
            written = self.write(conn, messages)?.written;
        } else {
            messages.iter().try_for_each(|m| self.sql.run(conn, m))?;
        }
        self.signal.wake();
        Ok(written)
    }

    /// Wakes the relays of this handle and its clones: call it after the transaction, when the messages can be seen.
    /// Without it they are found by polling.
    pub fn wake(&self) {
        self.signal.wake();
    }

    /// What a relay reads from. It opens connections of its own to `url` (one while it stands by, then two, a third one
    /// for [`keep_for`](Self::keep_for), and one for messages that become due), each on a thread of its own. With 8
    /// threads that nobody waits for any more, because the disk hangs, this handle and its clones open no further
    /// connection, and say so.
    pub fn store(&self, url: &str) -> SqlStore {
        SqlStore::new(self.open(url), &self.names, &self.signal).keep(self.keep)
    }

    /// diesel as the engine sees it: for a [`SqlStore::new`] on a driver that wraps this one, to watch or to disturb
    /// what a relay asks.
    pub fn driver(&self, url: &str) -> impl outbox_sql::Driver + use<> {
        self.open(url)
    }

    /// How every relay name stands.
    ///
    /// # Errors
    /// `Schema` where the tables are missing.
    pub async fn status(&self, url: &str) -> Result<Vec<RelayStatus>, StoreError> {
        outbox_sql::status(&self.open(url), &self.names).await
    }

    /// Starts a relay name from the first message that is kept: what was delivered before is delivered again.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran.
    pub async fn reset(&self, url: &str, relay: &str) -> Result<(), StoreError> {
        outbox_sql::reset(&self.open(url), &self.names, relay).await
    }
}

/// SQLite speaks English only.
fn judge(kind: &DatabaseErrorKind, text: &str, _points: bool) -> StoreErrorKind {
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    match kind {
        DatabaseErrorKind::CheckViolation => StoreErrorKind::InvalidMessage,
        _ if says(&["is locked"]) => StoreErrorKind::Conflict,
        _ if says(&["no such table", "no such column", "has no column", "no such function"]) => StoreErrorKind::Schema,
        _ if says(&["disk I/O error", "disk is full", "unable to open"]) => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Unexpected,
    }
}
