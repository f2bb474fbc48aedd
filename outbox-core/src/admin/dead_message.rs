use std::time::SystemTime;

use crate::Message;

/// A message that was given up on, with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeadMessage {
    /// The relay that gave it up.
    pub relay: String,
    /// Its place in the log.
    pub seq: i64,
    /// The message, whole.
    pub message: Message,
    /// The time of the transaction that enqueued it.
    pub created_at: SystemTime,
    /// Why it was given up.
    pub reason: String,
    /// Attempts made.
    pub attempts: u32,
    /// What its failed attempts ended in, and what its topic lacked in between, the newest first. Stores keep 4,000
    /// characters of it; where two attempts ended between two settlements, which are a second apart at most, the newer.
    pub history: Vec<String>,
    /// When it was given up.
    pub died_at: SystemTime,
}

impl DeadMessage {
    /// For stores.
    pub fn new(relay: String, seq: i64, message: Message, reason: String) -> Self {
        let (created_at, died_at) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
        Self { relay, seq, message, created_at, reason, attempts: 0, history: Vec::new(), died_at }
    }
}
