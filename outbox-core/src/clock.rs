//! The one clock of relays and stores: tokio's, so that a test can pause it and move it on.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, on tokio's clock: the system's monotonic clock, unless a test paused it (`tokio::time::pause`).
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock, in microseconds since 1970, moved on as far as tokio's clock was.
pub(crate) fn wall_micros() -> i64 {
    let moved = now().saturating_duration_since(Instant::now());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from((since + moved).as_micros()).unwrap_or(i64::MAX)
}
