//! The SQL engine of the transactional outbox: the schema and its migrations, the statements, and one
//! [`Store`](outbox_core::Store) over a small [`Driver`]. No database client is in here: `outbox-sqlx` brings one.
//!
//! A table written through one client is relayed through another: the schema is the contract between them. Who writes
//! with a client of their own finds the statement in [`insert`].

mod dialect;
mod driver;
mod insert;
mod migrate;
mod names;
mod postgres;
mod ranges;
mod signal;
mod sqlite;
mod statements;
mod status;
mod store;

pub use dialect::Dialect;
pub use driver::{Connection, Driver, Rows, Value};
pub use insert::{Param, insert};
pub use migrate::{SCHEMA_VERSION, migrate, migrations};
pub use names::Names;
pub use signal::Signal;
pub use status::{RelayStatus, reset, status};
pub use store::SqlStore;
