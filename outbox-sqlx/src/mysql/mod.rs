mod archive;
mod connection;
mod enqueue;
mod inbox;
mod later;
mod lock;

use std::time::Duration;

use outbox_core::{IntoMessage, Limits, MessageId, StoreError, StoreErrorKind};
use outbox_sql::{Dialect, Names, QueueStore, RelayStatus, Signal, Window, Writing};
use sqlx::{Connection, MySqlConnection, MySqlPool};

use crate::error;
use connection::MysqlDriver;
pub use inbox::MysqlInbox;

/// The outbox in a MySQL or MariaDB database. Cheap to clone; clones wake the same relays.
///
/// A message is deleted when it is settled, and belongs to one relay name: several relays need topics that do not
/// overlap. Transactions of the application may have any isolation level. In REPEATABLE READ a rollback to a savepoint
/// that an enqueue followed leaves a lock at the end of the table, which can make a deadlock of what is locked later:
/// lock first, or use READ COMMITTED.
#[derive(Debug, Clone, Default)]
pub struct Mysql {
    names: Names,
    limits: Limits,
    window: Window,
    signal: Signal,
    keep: Option<Duration>,
    sql: enqueue::Insert,
}

impl Mysql {
    /// Tables named `outbox_...`, [`Limits::DEFAULT`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Tables in this database of the server; [`migrate`](Self::migrate) creates it.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,62}`.
    pub fn schema(mut self, schema: &str) -> Result<Self, StoreError> {
        self.names = self.names.schema(schema)?;
        self.sql = enqueue::Insert::new(&self.names);
        Ok(self)
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
    /// `Schema` where the tables are newer than this code; `Unavailable` without a database.
    pub async fn migrate(&self, pool: &MySqlPool) -> Result<(), StoreError> {
        outbox_sql::migrate(&MysqlDriver::of(pool), &self.names).await
    }

    /// The migrations as SQL, oldest first: to be run by another tool.
    pub fn migrations(&self) -> Vec<String> {
        outbox_sql::migrations(Dialect::Mysql, &self.names)
    }

    /// Writes a message in the caller's transaction: a `Transaction`, or a connection that sqlx has begun one on.
    ///
    /// Gives its id. One that is for later waits until it is due, and can be [cancelled](Self::cancel); one with a
    /// deduplication key that is known is not written, and the id is that of the first one.
    ///
    /// # Errors
    /// `InvalidMessage` where a part is out of the limits, and `NotInTransaction`: nothing was written, the transaction
    /// goes on. `Conflict`: run the transaction again; a deadlock has ended it on the server, and what is written after
    /// that is committed by itself. `Schema` where the tables are missing.
    ///
    /// # Cancel safety
    /// The message was written or not, within the transaction: roll it back.
    pub async fn enqueue(
        &self,
        conn: &mut MySqlConnection,
        message: impl IntoMessage,
    ) -> Result<MessageId, StoreError> {
        let message = message.into_message()?;
        self.limits.check(&message)?;
        inside_transaction(conn)?;
        let mut id = message.id;
        if Writing::is_needed(std::slice::from_ref(&message)) {
            id = self.write(conn, vec![message]).await?.ids.first().copied().unwrap_or(id);
        } else {
            self.sql.run(conn, &[message]).await?;
        }
        self.signal.wake();
        Ok(id)
    }

    /// Writes many messages in the caller's transaction, in this order, with few statements. Returns how many,
    /// without those left out because of their deduplication keys.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue). All messages are checked before the first one is written.
    ///
    /// # Cancel safety
    /// Some of the messages were written, within the transaction: roll it back.
    pub async fn enqueue_all<M: IntoMessage>(
        &self,
        conn: &mut MySqlConnection,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, StoreError> {
        let messages: Vec<_> = messages.into_iter().map(M::into_message).collect::<Result<_, _>>()?;
        messages.iter().try_for_each(|m| self.limits.check(m))?;
        inside_transaction(conn)?;
        let mut written = messages.len();
        if Writing::is_needed(&messages) {
            written = self.write(conn, messages).await?.written;
        } else {
            self.sql.run(conn, &messages).await?;
        }
        self.signal.wake();
        Ok(written)
    }

    /// Commits, and wakes the relays of this handle and its clones. With `tx.commit()` they find it by polling.
    ///
    /// A deadlock ends the whole transaction on the server, and sqlx does not notice where its error was passed over:
    /// the statements that follow are each committed on their own. This asks first, with a savepoint: one more round
    /// trip.
    ///
    /// # Errors
    /// `RolledBack` where the transaction had ended before: what was done before that is not stored, what was done
    /// after it is. Else those of the commit; `Conflict` where the database rolled it back: run it again.
    /// `Unavailable`: whether it was committed is not known.
    ///
    /// # Cancel safety
    /// Whether it was committed is not known.
    pub async fn commit(&self, mut tx: sqlx::Transaction<'_, sqlx::MySql>) -> Result<(), StoreError> {
        match tx.begin().await {
            Ok(savepoint) => drop(savepoint),
            Err(sqlx::Error::BeginFailed) => {
                return Err(StoreError::new(StoreErrorKind::RolledBack, "commit").with_detail(
                    "a deadlock ended the transaction and its error was passed over; each statement after it was \
                     committed on its own: run the transaction again where a statement fails with a conflict",
                ));
            }
            Err(e) => return Err(connection::map(e).during("commit")),
        }
        tx.commit().await.map_err(|e| connection::map(e).during("commit"))?;
        self.wake();
        Ok(())
    }

    /// Wakes the relays of this handle and its clones: there may be new messages.
    pub fn wake(&self) {
        self.signal.wake();
    }

    /// What a relay reads from. It opens connections of its own (two, one for messages that become due, and one while
    /// it stands by) with the pool's options; the pool itself is not used.
    pub fn store(&self, pool: MySqlPool) -> QueueStore {
        let store = QueueStore::new(MysqlDriver::of(&pool), &self.names, &self.signal);
        match self.keep {
            Some(time) => store.keep_for(time),
            None => store,
        }
    }

    /// sqlx as the engine sees it: for a [`QueueStore::new`] on a driver that wraps this one, to watch or to disturb
    /// what a relay asks. Opens connections with the pool's options.
    pub fn driver(&self, pool: &MySqlPool) -> impl outbox_sql::Driver + use<> {
        MysqlDriver::of(pool)
    }

    /// How every relay name stands.
    ///
    /// # Errors
    /// `Schema` where the tables are missing.
    pub async fn status(&self, pool: &MySqlPool) -> Result<Vec<RelayStatus>, StoreError> {
        outbox_sql::status(&MysqlDriver::of(pool), &self.names).await
    }

    /// Starts a relay name anew: what it had parked goes back to the messages that wait, behind them.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran.
    pub async fn reset(&self, pool: &MySqlPool, relay: &str) -> Result<(), StoreError> {
        outbox_sql::reset(&MysqlDriver::of(pool), &self.names, relay).await
    }
}

fn inside_transaction(conn: &MySqlConnection) -> Result<(), StoreError> {
    if conn.is_in_transaction() { Ok(()) } else { Err(error::not_in_transaction()) }
}

/// Error numbers of MySQL, MariaDB, Galera, Group Replication and TiDB; by SQLSTATE class where that is enough.
fn kind(number: u16, state: &str) -> StoreErrorKind {
    match number {
        // Deadlock, lock wait timeout, too many locks, a changed snapshot, a conflict that is found at the commit.
        1213 | 1205 | 1206 | 1020 | 1180 | 3100 | 3101 | 8022 | 9007 => StoreErrorKind::Conflict,
        1146 | 1054 | 1305 => StoreErrorKind::Schema,
        // Too large, too long, not UTF-8, not JSON, against a check.
        1153 | 1406 | 1366 | 3140 | 3819 | 4025 => StoreErrorKind::InvalidMessage,
        // No such database, no right, a binary log that cannot record READ COMMITTED.
        1044 | 1049 | 1227 | 1665 => StoreErrorKind::Unexpected,
        // A wrong statement, password or value: no waiting mends that.
        _ if ["22", "23", "28", "3D", "42", "0A"].iter().any(|class| state.starts_with(class)) => {
            StoreErrorKind::Unexpected
        }
        _ => StoreErrorKind::Unavailable,
    }
}
