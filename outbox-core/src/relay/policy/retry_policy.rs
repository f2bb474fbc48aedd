use std::time::Duration;

use super::backoff::{Backoff, Jitter};
use super::{OnExhausted, OnFailure};

/// A publish that may take less is none.
pub(crate) const SHORTEST_DEADLINE: Duration = Duration::from_millis(10);

/// What becomes of messages that their broker fails. For all of a relay
/// ([`RelayBuilder::retry_policy`](crate::RelayBuilder::retry_policy)), or for some event types
/// ([`RelayBuilder::retry_policy_for`](crate::RelayBuilder::retry_policy_for)).
///
/// An outage of the transport, and a topic that the broker does not have, cost no attempt: nothing here is about them,
/// but for the time to live.
///
/// ```
/// use std::time::Duration;
/// use outbox_core::{OnFailure, RetryPolicy};
///
/// let prices = RetryPolicy::new()
///     .max_attempts(3)
///     .backoff(Duration::from_millis(100), Duration::from_secs(5))
///     .on_failure(OnFailure::SkipSuperseded)
///     .time_to_live(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "give it to a RelayBuilder"]
pub struct RetryPolicy {
    pub(crate) max_attempts: u32,
    pub(crate) backoff: Backoff,
    pub(crate) on_failure: OnFailure,
    pub(crate) on_exhausted: OnExhausted,
    pub(crate) time_to_live: Option<Duration>,
    /// Default: the relay's.
    pub(crate) publish_deadline: Option<Duration>,
}

impl RetryPolicy {
    /// The defaults: 10 attempts, waits of up to 1 s that double up to 5 min, the key is held, a dead letter at the
    /// end, and no time to live.
    pub const fn new() -> Self {
        Self {
            max_attempts: 10,
            backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(300), jitter: Jitter::Full },
            on_failure: OnFailure::HoldKey,
            on_exhausted: OnExhausted::DeadLetter,
            time_to_live: None,
            publish_deadline: None,
        }
    }

    /// Attempts of a message that its broker fails, 1 to 1,000,000. Default 10.
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The wait after a failed attempt: anything up to a time that doubles from `first` to `max` ("full jitter").
    /// Default 1 s to 5 min; at least 1 ms.
    pub const fn backoff(mut self, first: Duration, max: Duration) -> Self {
        (self.backoff.first, self.backoff.max) = (first, max);
        self
    }

    /// What a failed message does to the later ones of its key. Default: they wait.
    pub const fn on_failure(mut self, what: OnFailure) -> Self {
        self.on_failure = what;
        self
    }

    /// What becomes of a message that has no attempt left. Default: a dead letter.
    pub const fn on_exhausted(mut self, what: OnExhausted) -> Self {
        self.on_exhausted = what;
        self
    }

    /// How old a message may be when its turn comes; an older one becomes a dead letter untried, whatever
    /// [`on_exhausted`](Self::on_exhausted) says. Its age is counted from `created_at` by this process's clock, so give
    /// more than the two clocks may differ by. At least 1 s, and not shorter than the first wait. Default: any age.
    pub const fn time_to_live(mut self, age: Duration) -> Self {
        self.time_to_live = Some(age);
        self
    }

    /// How long a publish of such messages may take, at least 10 ms. Of one that holds messages of several policies the
    /// longest counts, so a short one is for event types that have a relay of their own. A transport may give up
    /// before: those to RabbitMQ, NATS and SNS have deadlines of their own, below 10 s. One that is over on Kafka costs
    /// the client with all that it holds. Default: as
    /// [`RelayBuilder::publish_deadline`](crate::RelayBuilder::publish_deadline) has it.
    pub const fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.publish_deadline = Some(deadline);
        self
    }

    /// What cannot work: setting, value, advice.
    pub(crate) fn contradiction(&self) -> Option<(&'static str, String, String)> {
        let Self { max_attempts, backoff: Backoff { first, max, .. }, on_failure, on_exhausted, .. } = *self;
        if !(1..=1_000_000).contains(&max_attempts) {
            return Some(("max_attempts", max_attempts.to_string(), "give 1 to 1,000,000".into()));
        }
        if first < Duration::from_millis(1) || first > max {
            let advice = "give at least 1 ms, and a maximum not below it".into();
            return Some(("the backoff of retries", format!("{first:?} to {max:?}"), advice));
        }
        if on_failure == OnFailure::PassBy && on_exhausted == OnExhausted::BlockKey {
            let advice = "a key that goes on without a failed message is not blocked by it: with on_failure PassBy, \
                on_exhausted has to be DeadLetter";
            return Some(("on_exhausted", format!("{on_exhausted:?}"), advice.into()));
        }
        if let Some(deadline) = self.publish_deadline.filter(|deadline| *deadline < SHORTEST_DEADLINE) {
            return Some(("publish deadline", format!("{deadline:?}"), "give at least 10 ms".into()));
        }
        match self.time_to_live {
            Some(age) if age < Duration::from_secs(1) => {
                Some(("time_to_live", format!("{age:?}"), "give at least 1 s".into()))
            }
            Some(age) if age < first => {
                let advice = format!("that is over before the first retry, which waits for up to {first:?}: give more");
                Some(("time_to_live", format!("{age:?}"), advice))
            }
            _ => None,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}
