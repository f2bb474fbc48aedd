//! What becomes of messages that their broker fails.

mod blocked;
mod broker;
mod deadline;
mod keys;
mod settings;
mod time_to_live;
mod topics;
