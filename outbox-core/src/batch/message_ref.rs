use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::builder::{HAS_CONTENT_TYPE, HAS_HEADERS, HAS_KEY};
use super::{Chunk, Offsets};
use crate::{InvalidMessage, MessageId};

/// A message of a [`Batch`](super::Batch). Copies nothing.
#[derive(Clone, Copy)]
pub struct MessageRef<'a> {
    pub(super) chunk: &'a Arc<Chunk>,
    pub(super) row: u32,
    pub(super) index: u32,
}

impl<'a> MessageRef<'a> {
    fn offsets(&self) -> &'a Offsets {
        &self.chunk.rows[self.row as usize]
    }

    fn text(&self, from: u32, to: u32) -> &'a str {
        // The builder copied these bytes from a `str`.
        std::str::from_utf8(&self.chunk.arena[from as usize..to as usize]).unwrap_or_default()
    }

    /// Its place in the batch it came with.
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// Its sequence number in the outbox.
    pub fn seq(&self) -> i64 {
        self.offsets().seq
    }

    /// The id to deduplicate by.
    pub fn id(&self) -> MessageId {
        Uuid::from_u128(self.offsets().id).into()
    }

    /// The topic.
    pub fn topic(&self) -> &'a str {
        let o = self.offsets();
        self.text(o.start, o.topic)
    }

    /// The ordering key.
    pub fn key(&self) -> Option<&'a str> {
        let o = self.offsets();
        (o.present & HAS_KEY != 0).then(|| self.text(o.topic, o.key))
    }

    /// The key's hash: equal for equal keys, and all that ordering needs.
    pub fn key_hash(&self) -> Option<u64> {
        self.offsets().key_hash
    }

    /// A hash of topic and key: equal for messages of one key to one topic, `None` without a key. For transports that
    /// keep the order within a topic. Differs between versions of Rust: not to be stored.
    pub fn key_within_topic(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        (self.topic(), self.key_hash()?).hash(&mut hasher);
        Some(hasher.finish())
    }

    /// The event type.
    pub fn event_type(&self) -> &'a str {
        let o = self.offsets();
        self.text(o.key, o.event_type)
    }

    /// The payload's media type.
    pub fn content_type(&self) -> Option<&'a str> {
        let o = self.offsets();
        (o.present & HAS_CONTENT_TYPE != 0).then(|| self.text(o.event_type, o.content_type))
    }

    /// The headers as stored: a JSON object.
    pub fn headers_json(&self) -> Option<&'a str> {
        let o = self.offsets();
        (o.present & HAS_HEADERS != 0).then(|| self.text(o.content_type, o.headers))
    }

    /// The headers, parsed now. A value that is no text (another writer's) is given as its JSON.
    ///
    /// # Errors
    /// When what is stored is no JSON object.
    pub fn headers(&self) -> Result<Vec<(String, String)>, InvalidMessage> {
        let Some(json) = self.headers_json() else { return Ok(Vec::new()) };
        match serde_json::from_str(json) {
            Ok(Value::Object(map)) => Ok(map
                .into_iter()
                .map(|(name, value)| match value {
                    Value::String(text) => (name, text),
                    other => (name, other.to_string()),
                })
                .collect()),
            _ => Err(InvalidMessage::new("the headers are no JSON object", "write an object of text values")),
        }
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        let o = self.offsets();
        &self.chunk.arena[o.headers as usize..o.payload as usize]
    }

    /// The payload, shared: keeps the batch's memory alive.
    pub fn payload_bytes(&self) -> Bytes {
        let o = self.offsets();
        self.chunk.arena.slice(o.headers as usize..o.payload as usize)
    }

    /// When it was enqueued, by the database's clock, in microseconds since 1970.
    pub fn created_at_micros(&self) -> i64 {
        self.offsets().created_at
    }

    /// When it was enqueued, by the database's clock.
    pub fn created_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(u64::try_from(self.offsets().created_at).unwrap_or(0))
    }

    /// The memory it holds, in bytes.
    pub fn size(&self) -> usize {
        let o = self.offsets();
        (o.payload - o.start) as usize
    }
}

impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRef")
            .field("seq", &self.seq())
            .field("id", &self.id())
            .field("topic", &self.topic())
            .field("key", &self.key())
            .field("event_type", &self.event_type())
            .finish_non_exhaustive()
    }
}
