//! The heavy proofs of the stores. `cargo xtask test stores` runs them, `cargo test` too:
//!
//! - `tests/stress.rs`: many writers and a relay process that is killed; and the same run with a planted bug;
//! - `tests/matrix.rs`: each client's messages through each client's store;
//! - `tests/robust.rs`: databases and transactions that fail;
//! - `tests/failover.rs`: Postgres loses its primary.
//!
//! [`Size`] says how big they are, and which variable makes them bigger.

mod bug;
mod client;
mod deliveries;
mod load;
mod relays;
mod site;
mod size;
mod stage;
mod stress;
mod writer;

pub use bug::Bug;
pub use client::{Client, relay, relay_with_bug};
pub use deliveries::{Delivery, FileTransport, Reader};
pub use load::{Load, Written};
pub use relays::Relays;
pub use site::{MysqlSite, PgSite, Site, SqliteSite};
pub use size::{Size, turn};
pub use stage::{Ended, Stage};
pub use stress::{Report, stress};
pub use writer::Writer;
