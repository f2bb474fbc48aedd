//! The rig itself: servers, relay processes, writers, and what is done to them.

mod broker;
mod database;
mod relays;
mod run;
mod small_disk;
mod strike;
mod timing;
mod traffic;

pub use run::Rig;
pub use timing::Timing;
