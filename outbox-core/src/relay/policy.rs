//! The numbers a relay works with. The builder checks them; the machine trusts them.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Messages of one fetch and of one publish.
    pub(crate) batch: usize,
    /// Messages handed out and not settled.
    pub(crate) window_messages: usize,
    /// Bytes handed out and not settled.
    pub(crate) window_bytes: usize,
    /// Publishes in flight at once.
    pub(crate) publishes: usize,
    pub(crate) lease: Duration,
    pub(crate) publish_deadline: Duration,
    pub(crate) drain_deadline: Duration,
    /// Attempts of a message that its broker fails, until it becomes a dead letter.
    pub(crate) max_attempts: u32,
    pub(crate) retry: Backoff,
    pub(crate) outage: Backoff,
    /// Polling of an idle outbox.
    pub(crate) poll: Backoff,
    /// Parked messages at which the cursor is held.
    pub(crate) max_parked: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            batch: 500,
            window_messages: 20_000,
            window_bytes: 64 << 20,
            publishes: 8,
            lease: Duration::from_secs(30),
            publish_deadline: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(30),
            max_attempts: 10,
            retry: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(300), jitter: true },
            outage: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5), jitter: true },
            poll: Backoff { first: Duration::from_millis(5), max: Duration::from_secs(1), jitter: false },
            max_parked: 1_000_000,
        }
    }
}

impl Policy {
    /// The longest time between the first and the last copy of a message that the relay sends by itself while nothing is
    /// down: every attempt up to the publish deadline, every wait between two at its longest, and one takeover, which
    /// waits for the lease.
    ///
    /// What it leaves out: an outage of the broker or the database has no end, and costs no attempts. So has a topic
    /// that is missing after a copy was sent. A message may also wait for the retries of those before it in its key, and
    /// a process may crash more than once. And what people do later: a replay of dead letters.
    pub(crate) fn retry_horizon(&self) -> Duration {
        let waits = self.max_attempts.saturating_sub(1);
        // Doubled 31 times, a wait does not grow any more.
        let different = (1..=waits.min(32)).map(|n| self.retry.longest(n));
        let last = self.retry.longest(u32::MAX).saturating_mul(waits.saturating_sub(32));
        let waits = different.fold(last, Duration::saturating_add);
        self.publish_deadline.saturating_mul(self.max_attempts).saturating_add(waits).saturating_add(self.lease)
    }
}

/// Exponential: doubles from `first` to `max`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
    /// Takes off up to half, so that many relays do not return together.
    pub(crate) jitter: bool,
}

impl Backoff {
    /// The wait after the `n`th failure in a row, counted from 1. `random` is any number.
    pub(crate) fn after(self, n: u32, random: u64) -> Duration {
        let full = self.longest(n);
        if !self.jitter {
            return full;
        }
        let share = u32::try_from(random % 512).unwrap_or(0);
        full - full * share / 1024
    }

    fn longest(self, n: u32) -> Duration {
        self.first.saturating_mul(1 << n.saturating_sub(1).min(30)).min(self.max)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads retries; decides nothing.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retry_horizon_is_the_sum_of_attempts_waits_and_a_takeover() {
        let seconds = Duration::from_secs;
        let one = Policy { max_attempts: 1, ..Policy::default() };
        assert_eq!(one.retry_horizon(), seconds(10 + 30));
        // 1 + 2 + 4 + .. + 256
        assert_eq!(Policy::default().retry_horizon(), seconds(10 * 10 + 511 + 30));
        // From the tenth wait on, 300 s each.
        let many = Policy { max_attempts: 1_000_000, ..Policy::default() };
        assert_eq!(many.retry_horizon(), seconds(1_000_000 * 10 + 511 + (999_999 - 9) * 300 + 30));
        let slow = Backoff { first: Duration::MAX, max: Duration::MAX, jitter: true };
        assert_eq!(Policy { retry: slow, ..many }.retry_horizon(), Duration::MAX);
    }
}
