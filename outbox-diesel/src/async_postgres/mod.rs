mod connection;
mod enqueue;
mod inbox;
mod later;
mod lock;
mod log;

use std::fmt;
use std::sync::Arc;

use diesel::ConnectionResult;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use outbox_core::{IntoMessage, Limits, MessageId, StoreError};
use outbox_sql::{Dialect, Keep, Names, RelayStatus, Signal, SqlStore, Window, Writing};

use crate::pg::Inserts;
use connection::{AsyncPgDriver, Connect};
pub use inbox::AsyncPostgresInbox;

/// The outbox in a Postgres database, through diesel-async and tokio-postgres. Cheap to clone; clones wake the same
/// relays.
#[derive(Clone)]
pub struct AsyncPostgres {
    names: Names,
    limits: Limits,
    window: Window,
    keep: Keep,
    signal: Signal,
    sql: Inserts,
    connect: Arc<Connect>,
}

impl fmt::Debug for AsyncPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncPostgres")
            .field("names", &self.names)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Default for AsyncPostgres {
    fn default() -> Self {
        Self {
            names: Names::default(),
            limits: Limits::default(),
            window: Window::default(),
            keep: Keep::default(),
            signal: Signal::default(),
            sql: Inserts::default(),
            connect: Arc::new(|url| Box::pin(async move { AsyncPgConnection::establish(&url).await })),
        }
    }
}

impl AsyncPostgres {
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
        self.sql = Inserts::new(&self.names);
        Ok(self)
    }

    /// Tables named `{prefix}_message` and so on, and a view named `{prefix}`. Default `outbox`.
    ///
    /// # Errors
    /// `Config`, for a name that is not of `[A-Za-z_][A-Za-z0-9_]{0,39}`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        self.names = self.names.prefix(prefix)?;
        self.sql = Inserts::new(&self.names);
        Ok(self)
    }

    /// What a message may be; those of the transport ([`Limits::KAFKA`]) find a wrong message where it is made.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How connections to a URL are opened, for [`store`](Self::store), [`migrate`](Self::migrate) and the others that
    /// take one. The URL comes with a setting (`options`) by which a pooler is known. Default
    /// [`AsyncPgConnection::establish`], which speaks no TLS; with a connector of tokio-postgres and
    /// [`AsyncPgConnection::try_from_client_and_connection`] it does.
    #[must_use]
    pub fn connect_with<F, C>(mut self, connect: F) -> Self
    where
        F: Fn(String) -> C + Send + Sync + 'static,
        C: Future<Output = ConnectionResult<AsyncPgConnection>> + Send + 'static,
    {
        self.connect = Arc::new(move |url| Box::pin(connect(url)));
        self
    }

    fn open(&self, url: &str) -> AsyncPgDriver {
        AsyncPgDriver::new(url, &self.connect)
    }

    /// Brings the tables of the database at `url` to this version. Does nothing where they are; safe to run from many
    /// processes at once.
    ///
    /// # Errors
    /// `Schema` where the tables are newer than this code; `Unavailable` without a database.
    pub async fn migrate(&self, url: &str) -> Result<(), StoreError> {
        outbox_sql::migrate(&self.open(url), &self.names).await
    }

    /// The migrations as SQL, oldest first: to be run by another tool.
    pub fn migrations(&self) -> Vec<String> {
        outbox_sql::migrations(Dialect::Postgres, &self.names)
    }

    /// Writes a message in the caller's transaction: inside the closure of `conn.transaction(..)` or
    /// `conn.build_transaction().run(..)`. A pooled connection will do as well.
    ///
    /// Gives its id. One that is for later waits until it is due, and can be [cancelled](Self::cancel); one with a
    /// deduplication key that is known is not written, and the id is that of the first one.
    ///
    /// # Errors
    /// `InvalidMessage` where a part is out of the limits, and `NotInTransaction`: nothing was written, the transaction
    /// goes on. `Conflict`: run the transaction again. `Schema` where the tables are missing. Return the error from the
    /// closure: where it is dropped, Postgres rolls back whatever was written.
    ///
    /// # Cancel safety
    /// The message was written or not, within the transaction. diesel-async leaves that transaction open on the
    /// connection: drop the connection (its pools do).
    pub async fn enqueue(
        &self,
        conn: &mut AsyncPgConnection,
        message: impl IntoMessage,
    ) -> Result<MessageId, StoreError> {
        let message = message.into_message()?;
        self.limits.check(&message)?;
        enqueue::inside_transaction(conn)?;
        let mut id = message.id;
        if Writing::is_needed(std::slice::from_ref(&message)) {
            id = self.write(conn, vec![message]).await?.ids.first().copied().unwrap_or(id);
        } else {
            enqueue::one(&self.sql, conn, &message).await?;
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
    /// Some of the messages were written; see [`enqueue`](Self::enqueue).
    pub async fn enqueue_all<M: IntoMessage>(
        &self,
        conn: &mut AsyncPgConnection,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize, StoreError> {
        let messages: Vec<_> = messages.into_iter().map(M::into_message).collect::<Result<_, _>>()?;
        messages.iter().try_for_each(|m| self.limits.check(m))?;
        enqueue::inside_transaction(conn)?;
        let mut written = messages.len();
        if Writing::is_needed(&messages) {
            written = self.write(conn, messages).await?.written;
        } else {
            enqueue::many(&self.sql, conn, &messages).await?;
        }
        self.signal.wake();
        Ok(written)
    }

    /// Wakes the relays of this handle and its clones: call it after `conn.transaction(..)`, when the messages can be
    /// seen. Without it they are found by polling.
    pub fn wake(&self) {
        self.signal.wake();
    }

    /// What a relay reads from. It opens connections of its own to `url` (one while it stands by, then two, a third one
    /// for [`keep_for`](Self::keep_for), and one for messages that become due), without TLS unless
    /// [`connect_with`](Self::connect_with) says otherwise.
    pub fn store(&self, url: &str) -> SqlStore {
        SqlStore::new(self.open(url).announcing(), &self.names, &self.signal).keep(self.keep)
    }

    /// diesel as the engine sees it: for a [`SqlStore::new`] on a driver that wraps this one, to watch or to disturb
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

    /// Starts a relay name from the first message that is kept: what was delivered before is delivered again.
    ///
    /// # Errors
    /// `Config` for a name that nobody ever ran.
    pub async fn reset(&self, url: &str, relay: &str) -> Result<(), StoreError> {
        outbox_sql::reset(&self.open(url), &self.names, relay).await
    }
}
