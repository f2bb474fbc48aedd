use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Queue;
use tokio::time::{Instant, sleep_until};

/// Keeps instants in range.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// A timer is late by a millisecond, and a busy task by more. What is not credited adds up to a slower rate.
const LATE: Duration = Duration::from_millis(10);

/// A token bucket, by tokio's clock. First come, first served.
#[derive(Debug)]
pub(super) struct Bucket {
    messages: u64,
    per: Duration,
    burst: u64,
    /// Fair.
    queue: Queue<()>,
    /// When it is full again; `None` before the first token was taken. Further away than it takes to fill: a debt.
    full: Mutex<Option<Instant>>,
}

impl Bucket {
    /// Full. A zero counts as the smallest that is not.
    pub(super) fn new(messages: u64, per: Duration, burst: u64) -> Self {
        let (messages, per, burst) = (messages.max(1), per.max(Duration::from_nanos(1)), burst.max(1));
        Self { messages, per, burst, queue: Queue::default(), full: Mutex::default() }
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) fn per(&self) -> Duration {
        self.per
    }

    /// How long it takes for so many tokens to come.
    fn time(&self, tokens: u64) -> Duration {
        let nanos = self.per.as_nanos() * u128::from(tokens) / u128::from(self.messages);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(FAR)
    }

    /// Waits for so many tokens and takes them; where that is more than it holds, until it is full, and the rest is a
    /// debt.
    ///
    /// Cancel safe: one that is dropped while it waits has taken nothing.
    pub(super) async fn take(&self, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let _turn = self.queue.lock().await;
        loop {
            let now = Instant::now();
            match self.ready_at(tokens, now) {
                Some(later) => sleep_until(later).await,
                None => return self.spend(tokens, now),
            }
        }
    }

    /// Takes tokens that are not there, and forgets what is owed beyond these.
    pub(super) fn overdraw(&self, tokens: u64) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        *full = Some(Instant::now() + self.time(tokens));
    }

    /// When so many tokens are there, if they are not at `now`.
    fn ready_at(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let full = (*self.full.lock().unwrap_or_else(PoisonError::into_inner))?;
        let spare = self.time(self.burst.saturating_sub(tokens));
        (full > now + spare).then(|| full - spare)
    }

    fn spend(&self, tokens: u64, now: Instant) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let since = full.unwrap_or(now).max(now.checked_sub(LATE).unwrap_or(now));
        *full = Some(since + self.time(tokens));
    }
}
