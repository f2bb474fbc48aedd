mod archive;
mod connection;
mod enqueue;
mod inbox;
mod later;
mod lock;

use std::time::Duration;

use diesel::MysqlConnection;
use outbox_core::{IntoMessage, Limits, MessageId, StoreError};
use outbox_sql::{Dialect, Names, QueueStore, RelayStatus, Signal, Window, Writing};

use crate::blocking;
use crate::my::Insert;
use crate::worker::Threads;
use connection::MysqlDriver;
pub use inbox::MysqlInbox;

/// The outbox in a MySQL or MariaDB database, through diesel and libmariadb or libmysqlclient. Cheap to clone; clones
/// wake the same relays.
///
/// A message is deleted when it is settled, and belongs to one relay name: several relays need topics that do not
/// overlap. Transactions of the application may have any isolation level.
#[derive(Debug, Clone, Default)]
pub struct Mysql {
    names: Names,
    limits: Limits,
    window: Window,
    keep: Option<Duration>,
    signal: Signal,
    sql: Insert,
    threads: Threads,
}

impl Mysql {
    /// Tables named `outbox_...` in the connection's database, [`Limits::DEFAULT`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Tables in this database of the server; [`migrate`](Self::migrate) creates it.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,62}`.
    pub fn schema(mut self, schema: &str) -> Result<Self, StoreError> {
        self.names = self.names.schema(schema)?;
        self.sql = Insert::new(&self.names);
        Ok(self)
    }

    /// Tables named `{prefix}_message` and so on, and a view named `{prefix}`. Default `outbox`.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,39}`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        self.names = self.names.prefix(prefix)?;
        self.sql = Insert::new(&self.names);
        Ok(self)
    }

    /// What a message may be; those of the transport ([`Limits::KAFKA`]) find a wrong message where it is made.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn open(&self, url: &str) -> MysqlDriver {
        MysqlDriver::new(url, &self.threads)
    }

    /// Brings the tables of the database at `url` to this version. Does nothing where they are; safe to run from many
    /// processes at once.
    ///
    /// # Errors
    /// `Schema` where the tables are newer than this code; `Unavailable` without a database.
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
        outbox_sql::migrations(Dialect::Mysql, &self.names)
    }

    /// Writes a message in the caller's transaction: inside the closure of `conn.transaction(..)`. A pooled
    /// connection will do as well.
    ///
    /// Gives its id. One that is for later waits until it is due, and can be [cancelled](Self::cancel); one with a
    /// deduplication key that is known is not written, and the id is that of the first one.
    ///
    /// # Errors
    /// `InvalidMessage` where a part is out of the limits, and `NotInTransaction`: nothing was written, the transaction
    /// goes on. `Conflict`: run the transaction again. `Schema` where the tables are missing. A deadlock ends the whole
    /// transaction on this database: return its error from the closure. `RolledBack` where diesel has seen one; it does
    /// not see one of `batch_execute`, and what is enqueued after that is written for good at once.
    pub fn enqueue(&self, conn: &mut MysqlConnection, message: impl IntoMessage) -> Result<MessageId, StoreError> {
        let message = message.into_message()?;
        self.limits.check(&message)?;
        enqueue::inside_transaction(conn)?;
        let mut id = message.id;
        if Writing::is_needed(std::slice::from_ref(&message)) {
            id = self.write(conn, vec![message])?.ids.first().copied().unwrap_or(id);
        } else {
            enqueue::write(&self.sql, conn, std::slice::from_ref(&message))?;
        }
        self.signal.wake();
        Ok(id)
    }

    /// Writes many messages in the caller's transaction, in this order, with few statements. Returns how many,
    /// without those left out because of their deduplication keys.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue). All messages are checked before the first one is written.
    pub fn enqueue_all<M: IntoMessage>(
        &self,
        conn: &mut MysqlConnection,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, StoreError> {
        let messages: Vec<_> = messages.into_iter().map(M::into_message).collect::<Result<_, _>>()?;
        messages.iter().try_for_each(|m| self.limits.check(m))?;
        enqueue::inside_transaction(conn)?;
        let mut written = messages.len();
        if Writing::is_needed(&messages) {
            written = self.write(conn, messages)?.written;
        } else {
            enqueue::write(&self.sql, conn, &messages)?;
        }
        self.signal.wake();
        Ok(written)
    }

    /// Wakes the relays of this handle and its clones: call it after `conn.transaction(..)`, when the messages can be
    /// seen. Without it they are found by polling.
    pub fn wake(&self) {
        self.signal.wake();
    }

    /// What a relay reads from. It opens connections of its own to `url` (one while it stands by, then two, and one for
    /// messages that become due), each on a thread of its own. A call that is given up, because the server is frozen,
    /// leaves its thread behind until the connection breaks: with 8 of them this handle and its clones open no further
    /// connection, and say so.
    ///
    /// `url` is what [`MysqlConnection`] takes, `ssl_mode` and all. A server that vanished is given up by the keepalive
    /// of the system, which waits for two hours by default (`net.ipv4.tcp_keepalive_time`).
    pub fn store(&self, url: &str) -> QueueStore {
        let store = QueueStore::new(self.open(url), &self.names, &self.signal);
        match self.keep {
            Some(time) => store.keep_for(time),
            None => store,
        }
    }

    /// diesel as the engine sees it: for a [`QueueStore::new`] on a driver that wraps this one, to watch or to disturb
    /// what a relay asks.
    pub fn driver(&self, url: &str) -> impl outbox_sql::Driver + use<> {
        self.open(url)
    }

    /// How every relay name stands.
    ///
    /// # Errors
    /// `Schema` where the tables are missing; `Unavailable` without a database.
    pub async fn status(&self, url: &str) -> Result<Vec<RelayStatus>, StoreError> {
        outbox_sql::status(&self.open(url), &self.names).await
    }

    /// Starts a relay name anew: what it had parked goes back to the messages that wait, behind them.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran.
    pub async fn reset(&self, url: &str, relay: &str) -> Result<(), StoreError> {
        outbox_sql::reset(&self.open(url), &self.names, relay).await
    }
}
