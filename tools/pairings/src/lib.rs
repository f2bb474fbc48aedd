//! Every store with every broker. `cargo xtask test pairings` runs it, `cargo test` too:
//!
//! - `tests/pairings.rs`: each of [`STORES`] delivers to each of [`TRANSPORTS`], whose broker fails in the middle; one
//!   table with a line for each pairing;
//! - `tests/planted.rs`: the same run with a transport that has a bug: the run must say so.
//!
//! A broker is started for this run alone, and each store gets a topic of its own on it. Two writers write half of the
//! messages in transactions, some of which are rolled back. While more are under way, the broker fails; the rest is
//! written while it is away. It comes back, the relays drain, and what the broker stored is read back and judged by the
//! ledger. Messages of one key are written by one writer, one transaction after the other, so their order is promised.

mod broker;
mod cell;
mod databases;
mod load;
mod run;
mod store;
mod table;
mod writer;

pub use broker::{
    Broker, KafkaBroker, LARGEST, MemoryBroker, NatsBroker, Planted, RabbitMqBroker, SnsBroker, TRANSPORTS,
};
pub use cell::Cell;
pub use databases::Databases;
pub use load::{KEYS, MESSAGES};
pub use run::run;
pub use store::{Database, STORES, Store};
pub use table::Table;
pub use writer::Writer;
