//! The one clock of relays and stores: tokio's, so that a test can pause it and move it on.

use std::time::Instant;

/// Now, on tokio's clock: the system's monotonic clock, unless a test paused it (`tokio::time::pause`).
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
