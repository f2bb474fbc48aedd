use std::time::Duration;

use crate::StoreError;

/// Why a relay stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The store cannot go on, and waiting does not help. The text says what to do.
    #[error("relay {relay:?} stopped")]
    Store {
        /// The relay's name.
        relay: String,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// Another process holds the lease of this name.
    #[error("relay {relay:?} is run by another process; try again in {retry_in:?}")]
    Standby {
        /// The relay's name.
        relay: String,
        /// When asking again is soon enough.
        retry_in: Duration,
    },
    /// The relay was paused at the desk.
    #[error("relay {relay:?} is paused: resume it first, with `outbox resume {relay}`")]
    Paused {
        /// The relay's name.
        relay: String,
    },
    /// Not everything was delivered in time.
    #[error(
        "relay {relay:?} was not drained within {timeout:?}: {left} messages are in the window, {parked} are parked"
    )]
    TimedOut {
        /// The relay's name.
        relay: String,
        /// The time given.
        timeout: Duration,
        /// Messages handed out and not settled.
        left: usize,
        /// Messages that wait for another attempt.
        parked: usize,
    },
}
