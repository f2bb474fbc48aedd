//! The SQL engine of the transactional outbox: the schema and its migrations, the statements, and one
//! [`Store`](outbox_core::Store) over a small [`Driver`]. No database client is in here: `outbox-sqlx` brings one.
//!
//! A table written through one client is relayed through another: the schema is the contract between them. Who writes
//! with a client of their own finds the statement in [`insert`].

mod desk;
mod dialect;
mod doorbell;
mod driver;
mod inbox;
mod insert;
mod like;
mod literal;
mod lock;
mod migrate;
mod mysql;
mod names;
mod pooled;
mod postgres;
mod queue;
mod ranges;
mod replay;
mod retain;
mod schedule;
mod signal;
mod sqlite;
mod statements;
mod status;
mod store;

pub use dialect::Dialect;
pub use doorbell::Line;
pub use driver::{Connection, Driver, Rows, Value};
pub use inbox::{first_time, prune_inbox};
pub use insert::{Param, insert, insert_scheduled, portions};
pub use literal::literals;
pub use lock::{lock_keys, lock_keys_mysql};
pub use migrate::{SCHEMA_VERSION, migrate, migrations};
pub use names::Names;
pub use pooled::Pooled;
pub use queue::{QueueStore, retain_delivered};
pub use replay::{Replay, drop_relay, force_drop_relay, replay, restore};
pub use retain::{Keep, retain};
pub use schedule::{Statement, Window, Writing, Written, cancel};
pub use signal::Signal;
pub use status::{RelayStatus, reset, status};
pub use store::SqlStore;
