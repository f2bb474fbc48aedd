mod connection;
mod doorbell;
mod enqueue;
mod inbox;
mod later;
mod lock;
mod log;

use outbox_core::{IntoMessage, Limits, MessageId, StoreError, StoreErrorKind};
use outbox_sql::{Dialect, Keep, Names, RelayStatus, Signal, SqlStore, Window, Writing};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use crate::error;
use connection::PgDriver;
pub use inbox::PostgresInbox;

/// The outbox in a Postgres database. Cheap to clone; clones wake the same relays.
///
/// Everything here works through a pooler in transaction mode too (PgBouncer 1.21 or newer with
/// `max_prepared_statements` above 0). The relay finds such a pooler when it connects, says so, and leaves no session
/// settings behind; it then finds the messages of other processes by polling, or by a [`doorbell`](Self::doorbell) with
/// a direct URL.
#[derive(Debug, Clone, Default)]
pub struct Postgres {
    names: Names,
    limits: Limits,
    window: Window,
    keep: Keep,
    signal: Signal,
    sql: enqueue::Inserts,
}

impl Postgres {
    /// Tables named `outbox_...` in the connection's default schema, [`Limits::DEFAULT`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Tables in this schema; [`migrate`](Self::migrate) creates it.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,62}`.
    pub fn schema(mut self, schema: &str) -> Result<Self, StoreError> {
        self.names = self.names.schema(schema)?;
        self.signal = self.signal.renamed(&self.names);
        self.sql = enqueue::Inserts::new(&self.names);
        Ok(self)
    }

    /// Tables named `{prefix}_message` and so on, and a view named `{prefix}`. Default `outbox`.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,39}`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        self.names = self.names.prefix(prefix)?;
        self.signal = self.signal.renamed(&self.names);
        self.sql = enqueue::Inserts::new(&self.names);
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
    pub async fn migrate(&self, pool: &PgPool) -> Result<(), StoreError> {
        outbox_sql::migrate(&PgDriver::of(pool), &self.names).await
    }

    /// The migrations as SQL, oldest first: to be run by another tool.
    pub fn migrations(&self) -> Vec<String> {
        outbox_sql::migrations(Dialect::Postgres, &self.names)
    }

    /// Writes a message in the caller's transaction: a `Transaction`, or a connection that sqlx has begun one on.
    ///
    /// Gives its id. One that is for later waits until it is due, and can be [cancelled](Self::cancel); one with a
    /// deduplication key that is known is not written, and the id is that of the first one.
    ///
    /// # Errors
    /// `InvalidMessage` where a part is out of the limits, and `NotInTransaction`: nothing was written, the transaction
    /// goes on. `Conflict`: run the transaction again. `Schema` where the tables are missing.
    ///
    /// # Cancel safety
    /// The message was written or not, within the transaction: roll it back.
    pub async fn enqueue(&self, conn: &mut PgConnection, message: impl IntoMessage) -> Result<MessageId, StoreError> {
        let message = message.into_message()?;
        self.limits.check(&message)?;
        inside_transaction(conn)?;
        let mut id = message.id;
        if Writing::is_needed(std::slice::from_ref(&message)) {
            id = self.write(conn, vec![message]).await?.ids.first().copied().unwrap_or(id);
        } else {
            self.sql.one(conn, message).await?;
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
        conn: &mut PgConnection,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, StoreError> {
        let messages: Vec<_> = messages.into_iter().map(M::into_message).collect::<Result<_, _>>()?;
        messages.iter().try_for_each(|m| self.limits.check(m))?;
        inside_transaction(conn)?;
        let mut written = messages.len();
        if Writing::is_needed(&messages) {
            written = self.write(conn, messages).await?.written;
        } else {
            self.sql.many(conn, &messages).await?;
        }
        self.signal.wake();
        Ok(written)
    }

    /// Commits, and wakes the relays of this handle and its clones, and rings its [`doorbell`](Self::doorbell). With
    /// `tx.commit()` they find it by polling.
    ///
    /// Postgres answers the COMMIT of a transaction in which a statement had failed by rolling it back, and sqlx takes
    /// that for success. This asks first, which is one more round trip: 0.1 ms on a local server, and 7 to 12 % of the
    /// rate of 32 connections that do nothing but enqueue one message and commit (same two cores).
    ///
    /// # Errors
    /// `RolledBack` where a statement of the transaction had failed and its error was passed over: nothing is stored.
    /// Else those of the commit. `Unavailable`: whether it was committed is not known.
    ///
    /// # Cancel safety
    /// Whether it was committed is not known.
    pub async fn commit(&self, mut tx: sqlx::Transaction<'_, sqlx::Postgres>) -> Result<(), StoreError> {
        tx.execute(AssertSqlSafe("select".to_owned())).await.map_err(|e| connection::map(e).during("commit"))?;
        tx.commit().await.map_err(|e| connection::map(e).during("commit"))?;
        self.wake();
        Ok(())
    }

    /// Wakes the relays of this handle and its clones, and rings its [`doorbell`](Self::doorbell): there are new
    /// messages. Never waits.
    pub fn wake(&self) {
        self.signal.ring();
    }

    /// What a relay reads from. It opens connections of its own with the pool's options (one while it stands by, then
    /// two, a third one for [`keep_for`](Self::keep_for), and one for messages that become due); the pool itself is not
    /// used.
    pub fn store(&self, pool: PgPool) -> SqlStore {
        SqlStore::new(PgDriver::of(&pool).announcing(), &self.names, &self.signal).keep(self.keep)
    }

    /// sqlx as the engine sees it: for a [`SqlStore::new`] on a driver that wraps this one, to watch or to disturb what
    /// a relay asks. Opens connections with the pool's options.
    pub fn driver(&self, pool: &PgPool) -> impl outbox_sql::Driver + use<> {
        PgDriver::of(pool)
    }

    /// How every relay name stands.
    ///
    /// # Errors
    /// `Schema` where the tables are missing; `Unavailable` without a database.
    pub async fn status(&self, pool: &PgPool) -> Result<Vec<RelayStatus>, StoreError> {
        outbox_sql::status(&PgDriver::of(pool), &self.names).await
    }

    /// Starts a relay name from the first message that is kept: what was delivered before is delivered again.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran.
    pub async fn reset(&self, pool: &PgPool, relay: &str) -> Result<(), StoreError> {
        outbox_sql::reset(&PgDriver::of(pool), &self.names, relay).await
    }
}

fn inside_transaction(conn: &PgConnection) -> Result<(), StoreError> {
    if conn.is_in_transaction() { Ok(()) } else { Err(error::not_in_transaction()) }
}

/// SQLSTATE, by class where a class is enough.
fn kind(code: &str) -> StoreErrorKind {
    match code {
        "40001" | "40P01" | "55P03" => StoreErrorKind::Conflict,
        "25P02" => StoreErrorKind::RolledBack,
        // PgBouncer before 1.21, or without `max_prepared_statements`.
        "26000" | "42P05" => StoreErrorKind::Config,
        "42P01" | "42703" | "42883" | "3F000" => StoreErrorKind::Schema,
        "23514" | "22021" => StoreErrorKind::InvalidMessage,
        // A wrong statement, password, database or value: no waiting mends that.
        _ if ["22", "23", "28", "3D", "42", "0A"].iter().any(|class| code.starts_with(class)) => {
            StoreErrorKind::Unexpected
        }
        _ => StoreErrorKind::Unavailable,
    }
}
