//! A store and a transport in memory, for tests.

mod desk;
mod scheduled;
mod store;
mod transport;

pub use store::{MemoryStore, MemoryTransaction};
pub use transport::{MemoryTransport, SentMessage};
