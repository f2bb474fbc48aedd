use std::hash::{DefaultHasher, Hasher};

/// One message as the application committed it: what its every copy must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The message's id, in the form in which the copies carry it.
    pub id: String,
    /// The key, if the message has one.
    pub key: Option<String>,
    /// Where the message stands among those of its key; see [`Expected::order`].
    pub order: Option<u64>,
    /// The payload's hash, by [`Expected::hash`].
    pub payload_hash: u64,
}

impl Expected {
    /// A message without key and order.
    pub fn new(id: impl ToString, payload: &[u8]) -> Self {
        Self { id: id.to_string(), key: None, order: None, payload_hash: Self::hash(payload) }
    }

    /// The key under which the message was written.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The position within the key: first occurrences must arrive with rising positions (G3).
    ///
    /// Equal positions are concurrent with each other: either may come first. A message without position, or without
    /// key, is checked for everything but order; that is right for transactions whose order nobody enforced.
    #[must_use]
    pub fn order(self, order: u64) -> Self {
        Self { order: Some(order), ..self }
    }

    /// The hash by which payloads are compared: stable within one build of the program, not a format to store.
    #[must_use]
    pub fn hash(payload: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(payload);
        hasher.finish()
    }
}
