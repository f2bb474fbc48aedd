//! What runs in the relay processes.

mod args;
mod bug;
mod said;
mod trap;
mod watched_store;
mod watched_transport;

pub use args::{Args, run_relay};
pub use bug::Bug;
pub(crate) use said::{Acknowledged, STRUCK};
pub use trap::{Act, Point, Trap};
