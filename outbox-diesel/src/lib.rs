//! The transactional outbox on [diesel](https://docs.rs/diesel) and [diesel-async](https://docs.rs/diesel-async):
//! messages are written in the caller's own transaction.
//!
//! ```no_run
//! # #[cfg(feature = "postgres")]
//! # fn example(conn: &mut diesel::PgConnection, url: &str) -> Result<(), anyhow::Error> {
//! use diesel::prelude::*;
//! use outbox_core::Message;
//! # diesel::table! { orders (id) { id -> Text, total -> BigInt, } }
//!
//! let outbox = outbox_diesel::Postgres::new();
//! outbox.migrate_blocking(url)?;
//!
//! conn.transaction::<_, anyhow::Error, _>(|conn| {
//!     diesel::insert_into(orders::table).values((orders::id.eq("o-7"), orders::total.eq(12))).execute(conn)?;
//!     outbox.enqueue(conn, Message::new("orders", "order.created").key("o-7").text("12"))?;
//!     Ok(())
//! })?;
//! outbox.wake();
//! # Ok(())
//! # }
//! ```
//!
//! With diesel-async, the handles [`AsyncPostgres`] and [`AsyncMysql`]:
//!
//! ```no_run
//! # #[cfg(feature = "async-postgres")]
//! # async fn example(conn: &mut diesel_async::AsyncPgConnection) -> Result<(), anyhow::Error> {
//! # use diesel_async::AsyncConnection;
//! # use outbox_core::Message;
//! # let outbox = outbox_diesel::AsyncPostgres::new();
//! conn.transaction::<_, anyhow::Error, _>(async |conn| {
//!     outbox.enqueue(conn, Message::new("orders", "order.created").key("o-7").text("12")).await?;
//!     Ok(())
//! })
//! .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Errors in a transaction
//!
//! The closure of `conn.transaction(..)` needs an error type that both errors convert to: `anyhow::Error`, a boxed
//! error, or an enum of one's own with a `From<StoreError>` and a `From<diesel::result::Error>`. Where the closure has
//! to return diesel's own error, wrap the other one:
//!
//! ```no_run
//! # #[cfg(feature = "postgres")]
//! # fn example(conn: &mut diesel::PgConnection) -> Result<(), diesel::result::Error> {
//! # use diesel::Connection;
//! # use outbox_core::Message;
//! # let outbox = outbox_diesel::Postgres::new();
//! use diesel::result::Error;
//!
//! conn.transaction::<_, Error, _>(|conn| {
//!     let sent = outbox.enqueue(conn, Message::new("orders", "order.created"));
//!     sent.map_err(|e| Error::QueryBuilderError(e.into()))?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Relays
//!
//! A relay opens connections of its own from a database URL, for diesel's connections cannot be cloned. It needs a
//! tokio runtime; without one in the program: `tokio::runtime::Runtime::new()?.block_on(relay.run(shutdown))`. A
//! synchronous connection lives on a thread of its own, so it never blocks that runtime.

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod blocking;
#[cfg(any(
    feature = "postgres",
    feature = "mysql",
    feature = "sqlite",
    feature = "async-postgres",
    feature = "async-mysql"
))]
mod error;
#[cfg(any(
    feature = "postgres",
    feature = "mysql",
    feature = "sqlite",
    feature = "async-postgres",
    feature = "async-mysql"
))]
mod rows;
#[cfg(any(
    feature = "postgres",
    feature = "mysql",
    feature = "sqlite",
    feature = "async-postgres",
    feature = "async-mysql"
))]
mod statement;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod worker;

#[cfg(feature = "async-mysql")]
mod async_mysql;
#[cfg(feature = "async-postgres")]
mod async_postgres;
#[cfg(any(feature = "mysql", feature = "async-mysql"))]
mod my;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(feature = "postgres", feature = "async-postgres"))]
mod pg;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "async-mysql")]
pub use async_mysql::{AsyncMysql, AsyncMysqlInbox};
#[cfg(feature = "async-postgres")]
pub use async_postgres::{AsyncPostgres, AsyncPostgresInbox};
#[cfg(feature = "mysql")]
pub use mysql::{Mysql, MysqlInbox};
pub use outbox_sql::{QueueStore, RelayStatus, Replay, SqlStore};
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresInbox};
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteInbox};
