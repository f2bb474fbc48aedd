use std::time::SystemTime;

use crate::MessageId;

/// Which dead letters: all, or those that match everything that is given.
///
/// ```
/// use outbox_core::admin::DeadLetterFilter;
///
/// let refused = DeadLetterFilter::all().relay("orders-to-kafka").reason("too large");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
#[must_use]
pub struct DeadLetterFilter {
    /// Given up by this relay.
    pub relay: Option<String>,
    /// Of this id.
    pub id: Option<MessageId>,
    /// Of exactly this topic.
    pub topic: Option<String>,
    /// Of exactly this key.
    pub key: Option<String>,
    /// Of exactly this event type.
    pub event_type: Option<String>,
    /// Whose reason holds this text, in any case of ASCII letters.
    pub reason: Option<String>,
    /// Given up at this time or later.
    pub since: Option<SystemTime>,
    /// Given up before this time.
    pub until: Option<SystemTime>,
}

impl DeadLetterFilter {
    /// All of every relay.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only those that this relay gave up.
    pub fn relay(mut self, relay: impl Into<String>) -> Self {
        self.relay = Some(relay.into());
        self
    }

    /// Only this message, which several relays may have given up.
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// Only those of this topic.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Only those of this key.
    pub fn key(mut self, key: impl ToString) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// Only those of this event type.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    /// Only those whose reason holds this text.
    pub fn reason(mut self, text: impl Into<String>) -> Self {
        self.reason = Some(text.into());
        self
    }

    /// Only those that were given up at this time or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Only those that were given up before this time.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Whether it names this one. For stores that have no query language.
    pub fn matches(&self, dead: &super::DeadMessage) -> bool {
        let is = |wanted: &Option<String>, given: Option<&str>| wanted.as_deref().is_none_or(|w| given == Some(w));
        let m = &dead.message;
        let reason = |text: &String| dead.reason.to_ascii_lowercase().contains(&text.to_ascii_lowercase());
        is(&self.relay, Some(&dead.relay))
            && self.id.is_none_or(|id| id == m.id)
            && is(&self.topic, Some(&m.topic))
            && is(&self.key, m.key.as_deref())
            && is(&self.event_type, Some(&m.event_type))
            && self.reason.as_ref().is_none_or(reason)
            && self.since.is_none_or(|time| dead.died_at >= time)
            && self.until.is_none_or(|time| dead.died_at < time)
    }
}
