//! The fault rig: two relay processes carry messages from a real database to a real broker, and something fails.
//! `cargo xtask test faults` runs all of it, `cargo test` a part:
//!
//! - `tests/faults.rs`: each [`Fault`] with each database and each broker, one table with a line for each;
//! - `tests/planted.rs`: the same run with a relay that has a [`Bug`]: the run must say so.
//!
//! One process holds the lease, the other one stands by. Each puts its store and its transport behind a [`Trap`]: at
//! the n-th pass of a named [`Point`] the process kills, stops or disturbs itself, or tells the rig, which then breaks
//! the database or the broker. The engine is the shipped one, unchanged. Writers go on meanwhile, by the same
//! connections as the relays. In the end the broker is read, and the ledger compares.
//!
//! Every run prints its seed. The seed decides what is written, at which point and pass the fault strikes, and how long
//! it lasts; it does not decide how processes and servers interleave, so a replay meets the same fault, and mostly but
//! not always the same moment. `OUTBOX_TEST_FAULTS_SEED` sets it, `OUTBOX_TEST_FAULTS` chooses cells: `full`, or words
//! that a cell's name must have (`zombie postgres nats`).
//!
//! What is allowed: no lost message, no inversion, one window of duplicates, and a recovery within the lease and 2 s.
//! One fault is allowed more duplicates, for a reason that stands where it is allowed: a full disk (`Cell::wrong`).

mod cell;
mod fault;
mod plan;
mod relay;
mod rig;
mod table;

pub use cell::Cell;
pub use fault::{BrokerKind, DatabaseKind, Fault};
pub use plan::{Plan, Task};
pub use relay::{Act, Args, Bug, Point, Trap, run_relay};
pub use rig::{Rig, Timing};
pub use table::{Line, Table};
