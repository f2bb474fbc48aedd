use std::time::Duration;

use crate::MessageId;

/// A message that failed, or waits for its topic, or behind one that does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingMessage {
    /// Its place in the log.
    pub seq: i64,
    /// Its id.
    pub id: MessageId,
    /// Its topic.
    pub topic: String,
    /// Its key.
    pub key: Option<String>,
    /// Its event type.
    pub event_type: String,
    /// The time to its next attempt, if nothing is in front of it.
    pub due_in: Duration,
    /// Attempts made; 0 for one that only waits.
    pub attempts: u32,
    /// What the last one ended in, or what its topic lacks.
    pub last_error: Option<String>,
}

impl WaitingMessage {
    /// For stores.
    pub fn new(seq: i64, id: MessageId, topic: String, event_type: String) -> Self {
        Self { seq, id, topic, key: None, event_type, due_in: Duration::ZERO, attempts: 0, last_error: None }
    }
}
