//! The transport against real servers.

mod batches;
mod check;
mod messages;
mod outages;
mod permissions;
mod rig;
