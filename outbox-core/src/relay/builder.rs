use std::sync::Arc;
use std::time::Duration;

use super::check::Checked;
use super::observer::{Observer, RelayHandle};
use super::policy::{Policy, RetryPolicy, SHORTEST_DEADLINE};
use super::store_relay::{Inner, StoreRelay};
use crate::{AcquireRequest, InvalidMessage, StartAt, Store, TopicFilter, Transport};

/// A setting that cannot work; the text gives the bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {given}: {advice}")]
pub struct RelayConfigError {
    setting: &'static str,
    given: String,
    advice: String,
}

/// Builds a [`StoreRelay`]. Every setting has a default.
#[derive(Debug)]
#[must_use = "call build()"]
pub struct RelayBuilder {
    name: String,
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    policy: Policy,
    start: StartAt,
    owner: u128,
    topics: Vec<String>,
    policies: Vec<(Vec<String>, RetryPolicy)>,
    observer: Option<Arc<dyn Observer>>,
}

impl RelayBuilder {
    pub(super) fn new(name: String, store: Arc<dyn Store>, transport: Arc<dyn Transport>) -> Self {
        let (policy, start, owner) = (Policy::default(), StartAt::default(), uuid::Uuid::now_v7().as_u128());
        Self { name, store, transport, policy, start, owner, topics: Vec::new(), policies: Vec::new(), observer: None }
    }

    /// Only these topics: exact names, or prefixes that end in one `*`. Default: all.
    pub fn topics(mut self, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Messages of one fetch and one publish, 1 to 10,000. Default 500.
    pub fn batch(mut self, messages: usize) -> Self {
        self.policy.batch = messages;
        self
    }

    /// Messages and bytes handed out and not settled: what a crash may send twice. Default 20,000 and 64 MiB; one
    /// batch to 1,000,000 messages, and 65,536 bytes to 1 GiB.
    ///
    /// Where a key with a long backlog leaves them scattered, the cursor has no room for each of them: a crash may then
    /// send about as many settled messages again as the window holds, and nothing more is fetched while it would be
    /// more.
    pub fn window(mut self, messages: usize, bytes: usize) -> Self {
        (self.policy.window_messages, self.policy.window_bytes) = (messages, bytes);
        self
    }

    /// How long the lease holds without renewal. Default 30 s; at least twice the longest publish deadline.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.policy.lease = lease;
        self
    }

    /// How long one publish may take. Default 10 s; at least 10 ms. A [`RetryPolicy`] may say otherwise for its event
    /// types.
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.policy.publish_deadline = deadline;
        self
    }

    /// How long a shutdown may take. Default 30 s; at least the publish deadline.
    pub fn drain_deadline(mut self, deadline: Duration) -> Self {
        self.policy.drain_deadline = deadline;
        self
    }

    /// Attempts of a message that its broker fails, until it becomes a dead letter, 1 to 1,000,000. Default 10.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.policy.rules.usual.max_attempts = attempts;
        self
    }

    /// The wait after a failed attempt: anything up to a time that doubles from `first` to `max`. Default 1 s to 5 min.
    pub fn retry(mut self, first: Duration, max: Duration) -> Self {
        self.policy.rules.usual = self.policy.rules.usual.backoff(first, max);
        self
    }

    /// What becomes of messages that their broker fails: all that [`max_attempts`](Self::max_attempts) and
    /// [`retry`](Self::retry) set, and more. Default [`RetryPolicy::new`].
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy.rules.usual = policy;
        self
    }

    /// The same for these event types: exact names, or prefixes that end in one `*`. Of several policies that name a
    /// type the one that was given first counts.
    pub fn retry_policy_for(
        mut self,
        event_types: impl IntoIterator<Item = impl Into<String>>,
        policy: RetryPolicy,
    ) -> Self {
        self.policies.push((event_types.into_iter().map(Into::into).collect(), policy));
        self
    }

    /// Messages that wait for another attempt, for their topic, or behind one that does, at which no more are read.
    /// Default 1,000,000; 1 to 100,000,000. Each takes some 200 bytes of memory.
    pub fn max_parked(mut self, messages: usize) -> Self {
        self.policy.max_parked = messages;
        self
    }

    /// The wait before an absent transport is probed again, or a topic that it does not have: doubles from `first` to
    /// `max`. Default 100 ms to 5 s.
    pub fn outage(mut self, first: Duration, max: Duration) -> Self {
        (self.policy.outage.first, self.policy.outage.max) = (first, max);
        self
    }

    /// How an idle outbox is polled: the wait doubles from `first` to `max`. Default 5 ms to 1 s.
    pub fn poll(mut self, first: Duration, max: Duration) -> Self {
        (self.policy.poll.first, self.policy.poll.max) = (first, max);
        self
    }

    /// Where a name that nobody ever held starts. Default [`StartAt::Earliest`].
    pub fn start(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// Who holds the lease; also the seed of all jitter. Default: a new UUIDv7. The same owner takes its own lease over
    /// at once, so no two relays may share one. For simulations.
    pub fn owner(mut self, owner: u128) -> Self {
        self.owner = owner;
        self
    }

    /// Receives the relay's events. Default: none; they are logged through `tracing` in any case.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The relay.
    ///
    /// # Errors
    /// For the first setting out of its bounds.
    pub fn build(mut self) -> Result<StoreRelay, RelayConfigError> {
        let p = &self.policy;
        require("the relay's name", &self.name, (1..=255).contains(&self.name.len()), "give 1 to 255 bytes")?;
        require("batch", &p.batch, (1..=10_000).contains(&p.batch), "give 1 to 10,000 messages")?;
        let advice = format!("give at least one batch, which is {}, and at most 1,000,000 messages", p.batch);
        let fits = (p.batch..=1_000_000).contains(&p.window_messages);
        require("window", &p.window_messages, fits, &advice)?;
        let fits = (1 << 16..=1 << 30).contains(&p.window_bytes);
        require("window", &p.window_bytes, fits, "give 65,536 bytes to 1 GiB")?;
        let deadline = p.publish_deadline;
        require("publish deadline", &deadline, deadline >= SHORTEST_DEADLINE, "give at least 10 ms")?;
        let fits = (1..=100_000_000).contains(&p.max_parked);
        require("max_parked", &p.max_parked, fits, "give 1 to 100,000,000 messages")?;
        for (setting, b) in [("outage", p.outage), ("poll", p.poll)] {
            let fits = b.first >= Duration::from_millis(1) && b.first <= b.max;
            require(setting, &(b.first, b.max), fits, "give at least 1 ms, and a maximum not below it")?;
        }
        let unusable = |setting, e: InvalidMessage| RelayConfigError {
            setting,
            given: "not usable".into(),
            advice: e.to_string(),
        };
        for (types, policy) in self.policies {
            if types.is_empty() {
                let advice = "name at least one event type, or give a retry_policy for all".into();
                return Err(RelayConfigError {
                    setting: "retry_policy_for",
                    given: "without event types".into(),
                    advice,
                });
            }
            let types = TopicFilter::new(types).map_err(|e| unusable("retry_policy_for", e))?;
            self.policy.rules.add(types, policy);
        }
        if let Some((setting, given, advice)) = self.policy.rules.policies().find_map(RetryPolicy::contradiction) {
            return Err(RelayConfigError { setting, given, advice });
        }
        let (p, deadline) = (&self.policy, self.policy.longest_deadline());
        let advice = format!("give at least twice the longest publish deadline, which is {deadline:?}");
        require("lease", &p.lease, p.lease >= deadline.saturating_mul(2), &advice)?;
        let advice = format!("give at least the longest publish deadline, which is {deadline:?}");
        require("drain deadline", &p.drain_deadline, p.drain_deadline >= deadline, &advice)?;
        let topics = TopicFilter::new(self.topics).map_err(|e| unusable("topics", e))?;
        let mut request = AcquireRequest::new(self.name, self.owner);
        (request.lease, request.start, request.topics) = (self.policy.lease, self.start, topics);
        Ok(StoreRelay::new(Inner {
            store: self.store,
            transport: self.transport,
            policy: self.policy,
            request,
            observer: self.observer,
            handle: RelayHandle::default(),
            checked: Checked::default(),
        }))
    }
}

fn require(
    setting: &'static str,
    given: &impl std::fmt::Debug,
    fits: bool,
    advice: &str,
) -> Result<(), RelayConfigError> {
    if fits { Ok(()) } else { Err(RelayConfigError { setting, given: format!("{given:?}"), advice: advice.into() }) }
}
