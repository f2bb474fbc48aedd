//! Messages for later, and deduplication keys.
//!
//! A scheduled message is written into `outbox_scheduled`, in the caller's transaction. When it is due, a mover takes
//! it into `outbox_message`, where it draws its number like any other: so what waits costs neither a fetch nor a
//! settlement anything. A mover runs beside every lease; the one that locks the row of `outbox_mover` works, for all
//! processes together. No fence is needed: a move is one transaction, and a row that is gone cannot be moved again.

mod cancel;
mod claim;
mod mover;
mod prune;
mod statements;
mod task;
mod write;

use std::time::Duration;

pub use cancel::cancel;
pub(crate) use mover::{Mover, catch_up};
use outbox_core::{StoreError, StoreErrorKind};
pub(crate) use prune::{Expired, prune_all};
pub(crate) use statements::now;
pub(crate) use task::Task;
pub use write::{Writing, Written};

use crate::Value;

/// A statement, with its parameters, to be run in the caller's transaction.
pub type Statement = (String, Vec<Value>);

/// For how long an outbox remembers a deduplication key, or an inbox a message: 1 s to 365 days, by default 7 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window(Duration);

impl Window {
    /// At least this long.
    ///
    /// # Errors
    /// `Config` where it is shorter than 1 s or longer than 365 days.
    pub fn new(time: Duration) -> Result<Self, StoreError> {
        if (Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3_600)).contains(&time) {
            return Ok(Self(time));
        }
        Err(StoreError::new(StoreErrorKind::Config, "window")
            .with_detail(format!("{time:?} is out of bounds: give 1 second to 365 days")))
    }

    pub(crate) fn micros(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }
}

impl Default for Window {
    /// 7 days.
    fn default() -> Self {
        Self(Duration::from_secs(7 * 24 * 3_600))
    }
}
