//! The transactional outbox on [sqlx](https://docs.rs/sqlx): messages are written in the caller's own transaction.
//!
//! ```no_run
//! # #[cfg(feature = "postgres")]
//! # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
//! use outbox_core::Message;
//!
//! let outbox = outbox_sqlx::Postgres::new();
//! outbox.migrate(&pool).await?;
//!
//! let mut tx = pool.begin().await?;
//! sqlx::query("insert into orders (id) values ($1)").bind(7).execute(&mut *tx).await?;
//! outbox.enqueue(&mut tx, Message::new("orders", "order.created").key(7).text("paid")).await?;
//! outbox.commit(tx).await?;
//! # Ok(())
//! # }
//! ```

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod error;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "mysql")]
pub use mysql::{Mysql, MysqlInbox};
pub use outbox_sql::{QueueStore, RelayStatus, Replay, SqlStore};
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresInbox};
#[cfg(feature = "sqlite")]
pub use sqlite::{Sqlite, SqliteInbox};
