mod connection;
mod enqueue;

use outbox_core::{IntoMessage, Limits, MessageId, StoreError, StoreErrorKind};
use outbox_sql::{Dialect, Names, RelayStatus, Signal, SqlStore};
use sqlx::{Connection, PgConnection, PgPool};

use crate::error;
use connection::PgDriver;

/// The outbox in a Postgres database. Cheap to clone; clones wake the same relays.
#[derive(Debug, Clone, Default)]
pub struct Postgres {
    names: Names,
    limits: Limits,
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
        self.sql = enqueue::Inserts::new(&self.names);
        Ok(self)
    }

    /// Tables named `{prefix}_message` and so on, and a view named `{prefix}`. Default `outbox`.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,39}`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        self.names = self.names.prefix(prefix)?;
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
        let id = message.id;
        self.sql.one(conn, message).await?;
        self.signal.wake();
        Ok(id)
    }

    /// Writes many messages in the caller's transaction, in this order, with few statements. Returns how many.
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
        self.sql.many(conn, &messages).await?;
        self.signal.wake();
        Ok(messages.len())
    }

    /// Commits, and wakes the relays of this handle and its clones. With `tx.commit()` they find it by polling.
    ///
    /// # Errors
    /// Those of the commit. `Unavailable`: whether it was committed is not known.
    pub async fn commit(&self, tx: sqlx::Transaction<'_, sqlx::Postgres>) -> Result<(), StoreError> {
        tx.commit().await.map_err(|e| connection::map(e).during("commit"))?;
        self.wake();
        Ok(())
    }

    /// Wakes the relays of this handle and its clones: there may be new messages.
    pub fn wake(&self) {
        self.signal.wake();
    }

    /// What a relay reads from. It opens connections of its own (two, and one while it stands by) with the pool's
    /// options; the pool itself is not used.
    pub fn store(&self, pool: PgPool) -> SqlStore {
        SqlStore::new(PgDriver::of(&pool), &self.names, &self.signal)
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
        "42P01" | "42703" | "42883" | "3F000" => StoreErrorKind::Schema,
        "23514" | "22021" => StoreErrorKind::InvalidMessage,
        // A wrong statement, password, database or value: no waiting mends that.
        _ if ["22", "23", "28", "3D", "42", "0A"].iter().any(|class| code.starts_with(class)) => {
            StoreErrorKind::Unexpected
        }
        _ => StoreErrorKind::Unavailable,
    }
}
