use super::{OnExhausted, OnFailure, RetryPolicy};
use crate::TopicFilter;

/// Which retry policy is whose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// For event types that no other names.
    pub(crate) usual: RetryPolicy,
    pub(crate) named: Vec<(TopicFilter, RetryPolicy)>,
}

/// One of the policies of [`Rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rule(Option<usize>);

impl Rules {
    pub(crate) fn add(&mut self, event_types: TopicFilter, policy: RetryPolicy) {
        self.named.push((event_types, policy));
    }

    /// The first that names the event type.
    pub(crate) fn of(&self, event_type: &str) -> Rule {
        Rule(self.named.iter().position(|(types, _)| types.matches(event_type)))
    }

    pub(crate) fn get(&self, rule: Rule) -> &RetryPolicy {
        rule.0.and_then(|i| self.named.get(i)).map_or(&self.usual, |(_, policy)| policy)
    }

    pub(crate) fn policies(&self) -> impl Iterator<Item = &RetryPolicy> {
        std::iter::once(&self.usual).chain(self.named.iter().map(|(_, policy)| policy))
    }

    /// Whether any message may become too old.
    pub(crate) fn expire(&self) -> bool {
        self.policies().any(|p| p.time_to_live.is_some())
    }

    pub(crate) fn skips(&self, rule: Rule) -> bool {
        self.get(rule).on_failure == OnFailure::SkipSuperseded
    }

    pub(crate) fn passes_by(&self, rule: Rule) -> bool {
        self.get(rule).on_failure == OnFailure::PassBy
    }

    pub(crate) fn blocks(&self, rule: Rule) -> bool {
        self.get(rule).on_exhausted == OnExhausted::BlockKey
    }
}
