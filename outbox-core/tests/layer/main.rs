//! The layers, by tokio's paused clock: limits, order, catching up, what is forwarded.

mod broker;
mod catch_up;
mod forward;
mod limits;
mod order;
mod relayed;
