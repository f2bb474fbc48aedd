mod mysql;
mod postgres;
mod sqlite;

pub use mysql::MysqlSite;
pub use postgres::PgSite;
pub use sqlite::SqliteSite;

use std::future::Future;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, RelayBuilder};
use outbox_sql::RelayStatus;

/// An application on one database: aggregates with a version each, and the outbox beside them.
///
/// Every error is one that the application would see.
pub trait Site: Clone + Send + Sync + 'static {
    /// A transaction of the application.
    type Tx: Send;

    /// For `stores-relay` and for people.
    fn url(&self) -> &str;

    /// Whether transactions may overlap; otherwise one has to end before another can write.
    fn overlapping(&self) -> bool {
        true
    }

    /// Name and version of the server.
    fn version(&self) -> impl Future<Output = anyhow::Result<String>> + Send;

    /// Begins a transaction, as the documentation says it is to be done.
    fn begin(&self) -> impl Future<Output = anyhow::Result<Self::Tx>> + Send;

    /// Reads and locks the aggregate's row, and counts its version up. Gives the new version.
    fn touch(&self, tx: &mut Self::Tx, aggregate: usize) -> impl Future<Output = anyhow::Result<u64>> + Send;

    /// Writes messages in the transaction: one alone, or several at once.
    fn enqueue(&self, tx: &mut Self::Tx, messages: Vec<Message>) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Writes a message behind a savepoint, which is then kept or rolled back.
    fn savepoint(
        &self,
        tx: &mut Self::Tx,
        message: Message,
        keep: bool,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Commits.
    fn commit(&self, tx: Self::Tx) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Rolls back.
    fn rollback(&self, tx: Self::Tx) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Transactions that have nothing to do with the outbox, and that read and write elsewhere. They stay open until
    /// they are dropped.
    fn foreign(&self) -> impl Future<Output = anyhow::Result<Vec<Self::Tx>>> + Send;

    /// A transaction that has locked the relay's row.
    fn lock_relay(&self) -> impl Future<Output = anyhow::Result<Self::Tx>> + Send;

    /// A relay on the application's own pool, from sqlx.
    fn relay(&self, transport: MemoryTransport) -> RelayBuilder;

    /// How the relays stand, by the outbox's own count.
    fn status(&self) -> impl Future<Output = anyhow::Result<Vec<RelayStatus>>> + Send;

    /// What no relay has settled, without the parked.
    fn waiting(&self) -> impl Future<Output = anyhow::Result<u64>> + Send {
        async { Ok(u64::try_from(self.status().await?.iter().map(|relay| relay.waiting).sum::<i64>())?) }
    }
}

/// How many aggregates a site has, numbered from 0.
pub(crate) const AGGREGATES: usize = 64;

/// What is the same on every database: one message and many are different statements of a client.
macro_rules! sqlx_site {
    () => {
        async fn enqueue(&self, tx: &mut Self::Tx, mut messages: Vec<Message>) -> anyhow::Result<()> {
            match (messages.len(), messages.pop()) {
                (1, Some(one)) => _ = self.outbox.enqueue(tx, one).await?,
                (_, last) => _ = self.outbox.enqueue_all(tx, messages.into_iter().chain(last)).await?,
            }
            Ok(())
        }

        async fn savepoint(&self, tx: &mut Self::Tx, message: Message, keep: bool) -> anyhow::Result<()> {
            let mut savepoint = sqlx::Connection::begin(&mut **tx).await?;
            self.outbox.enqueue(&mut savepoint, message).await?;
            if keep {
                savepoint.commit().await?
            } else {
                savepoint.rollback().await?
            }
            Ok(())
        }

        async fn commit(&self, tx: Self::Tx) -> anyhow::Result<()> {
            Ok(self.outbox.commit(tx).await?)
        }

        async fn rollback(&self, tx: Self::Tx) -> anyhow::Result<()> {
            Ok(tx.rollback().await?)
        }

        fn relay(&self, transport: MemoryTransport) -> RelayBuilder {
            StoreRelay::builder("stores", self.outbox.store(self.pool.clone()), transport)
        }

        async fn status(&self) -> anyhow::Result<Vec<RelayStatus>> {
            Ok(self.outbox.status(&self.pool).await?)
        }
    };
}
pub(crate) use sqlx_site;
