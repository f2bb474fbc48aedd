//! The numbers a relay works with. The builder checks them; the machine trusts them.

mod backoff;
mod on_exhausted;
mod on_failure;
mod random;
mod retry_policy;
mod rules;

pub(crate) use backoff::{Backoff, Jitter};
pub use on_exhausted::OnExhausted;
pub use on_failure::OnFailure;
pub(crate) use random::Random;
pub use retry_policy::RetryPolicy;
pub(crate) use retry_policy::SHORTEST_DEADLINE;
pub(crate) use rules::{Rule, Rules};

use std::time::Duration;

use crate::Batch;

/// How often a message is let off that got no answer together with others: by one outage as it begins, as it ends, and
/// once more.
pub(crate) const LET_OFF: u32 = 3;

#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Messages of one fetch and of one publish.
    pub(crate) batch: usize,
    /// Messages handed out and not settled.
    pub(crate) window_messages: usize,
    /// Bytes handed out and not settled.
    pub(crate) window_bytes: usize,
    pub(crate) lease: Duration,
    /// Of a publish, where its retry policy does not say otherwise.
    pub(crate) publish_deadline: Duration,
    pub(crate) drain_deadline: Duration,
    /// What becomes of messages that their broker fails.
    pub(crate) rules: Rules,
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
            lease: Duration::from_secs(30),
            publish_deadline: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(30),
            rules: Rules::default(),
            outage: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5), jitter: Jitter::Half },
            poll: Backoff { first: Duration::from_millis(5), max: Duration::from_secs(1), jitter: Jitter::None },
            max_parked: 1_000_000,
        }
    }
}

impl Policy {
    /// How long this publish may take: as long as any of its messages may.
    pub(crate) fn deadline_of(&self, batch: &Batch) -> Duration {
        if self.rules.policies().all(|p| p.publish_deadline.is_none()) {
            return self.publish_deadline;
        }
        let own = |event_type| self.rules.get(self.rules.of(event_type)).publish_deadline;
        let all = batch.iter().map(|m| own(m.event_type()).unwrap_or(self.publish_deadline));
        all.max().unwrap_or(self.publish_deadline)
    }

    /// How long any publish may take.
    pub(crate) fn longest_deadline(&self) -> Duration {
        self.rules.policies().filter_map(|p| p.publish_deadline).fold(self.publish_deadline, Duration::max)
    }

    /// The longest time between the first and the last copy of a message that the relay sends by itself while nothing
    /// is down: every attempt up to the publish deadline, and those that it is let off; every wait between two at its
    /// longest; and one takeover, which waits for the lease.
    ///
    /// What it leaves out: an outage of the broker or the database has no end, and costs no attempts. So has a topic
    /// that is missing after a copy was sent. A message may also wait for the retries of those before it in its key,
    /// and a process may crash more than once. And what people do later: a replay of dead letters.
    pub(crate) fn retry_horizon(&self) -> Duration {
        self.longest().1
    }

    /// The retry policy whose copies may be furthest apart, and how far.
    pub(crate) fn longest(&self) -> (&RetryPolicy, Duration) {
        let usual = (&self.rules.usual, self.horizon(&self.rules.usual));
        let all = self.rules.policies().map(|p| (p, self.horizon(p)));
        all.fold(usual, |a, b| if b.1 > a.1 { b } else { a })
    }

    pub(crate) fn horizon(&self, retry: &RetryPolicy) -> Duration {
        let let_off = if retry.on_failure == OnFailure::PassBy { 0 } else { LET_OFF };
        let publishes = self.longest_deadline().saturating_mul(retry.max_attempts.saturating_add(let_off));
        let waits = retry.backoff.all(retry.max_attempts).saturating_add(retry.backoff.all(let_off + 1));
        publishes.saturating_add(waits).saturating_add(self.lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retry_horizon_is_the_sum_of_attempts_waits_and_a_takeover() {
        let seconds = Duration::from_secs;
        let let_off = seconds(3 * 10 + 1 + 2 + 4);
        let with = |retry| Policy { rules: Rules { usual: retry, ..Rules::default() }, ..Policy::default() };
        assert_eq!(with(RetryPolicy::new().max_attempts(1)).retry_horizon(), let_off + seconds(10 + 30));
        let passed = RetryPolicy::new().max_attempts(1).on_failure(OnFailure::PassBy);
        assert_eq!(with(passed).retry_horizon(), seconds(10 + 30));
        // 1 + 2 + 4 + .. + 256
        assert_eq!(Policy::default().retry_horizon(), let_off + seconds(10 * 10 + 511 + 30));
        // From the tenth wait on, 300 s each.
        let many = RetryPolicy::new().max_attempts(1_000_000);
        let all = seconds(1_000_000 * 10 + 511 + (999_999 - 9) * 300 + 30);
        assert_eq!(with(many).retry_horizon(), let_off + all);
        assert_eq!(with(many.backoff(Duration::MAX, Duration::MAX)).retry_horizon(), Duration::MAX);
        let mut some = with(RetryPolicy::new().max_attempts(1));
        some.rules.add(crate::TopicFilter::all(), RetryPolicy::new());
        assert_eq!(some.retry_horizon(), let_off + seconds(10 * 10 + 511 + 30), "the longest of all event types");
    }
}
