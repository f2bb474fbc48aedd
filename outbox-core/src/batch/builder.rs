use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Batch, Chunk, Offsets, Slots, to_u32};

/// One message as a store reads it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The sequence number: the order within the log.
    pub seq: i64,
    /// The message id, as 16 bytes of a UUID.
    pub id: u128,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub created_at: i64,
    /// The topic.
    pub topic: &'a str,
    /// The ordering key.
    pub key: Option<&'a str>,
    /// The event type.
    pub event_type: &'a str,
    /// The payload.
    pub payload: &'a [u8],
    /// The media type.
    pub content_type: Option<&'a str>,
    /// A JSON object of text values.
    pub headers: Option<&'a str>,
}

/// Builds a [`Batch`] row by row, with two allocations in all.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    arena: BytesMut,
    rows: Vec<Offsets>,
}

pub(super) const HAS_KEY: u8 = 1;
pub(super) const HAS_CONTENT_TYPE: u8 = 2;
pub(super) const HAS_HEADERS: u8 = 4;

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for `messages` rows of `bytes` bytes in all.
    pub fn with_capacity(messages: usize, bytes: usize) -> Self {
        Self { arena: BytesMut::with_capacity(bytes), rows: Vec::with_capacity(messages) }
    }

    /// Adds a message.
    pub fn push(&mut self, row: &Row<'_>) {
        let start = to_u32(self.arena.len());
        let mut put = |part: Option<&[u8]>| {
            self.arena.put_slice(part.unwrap_or_default());
            to_u32(self.arena.len())
        };
        let topic = put(Some(row.topic.as_bytes()));
        let key = put(row.key.map(str::as_bytes));
        let event_type = put(Some(row.event_type.as_bytes()));
        let content_type = put(row.content_type.map(str::as_bytes));
        let headers = put(row.headers.map(str::as_bytes));
        let payload = put(Some(row.payload));
        let bit = |on: bool, bit| if on { bit } else { 0 };
        self.rows.push(Offsets {
            seq: row.seq,
            id: row.id,
            created_at: row.created_at,
            key_hash: row.key.map(hash),
            start,
            topic,
            key,
            event_type,
            content_type,
            headers,
            payload,
            present: bit(row.key.is_some(), HAS_KEY)
                | bit(row.content_type.is_some(), HAS_CONTENT_TYPE)
                | bit(row.headers.is_some(), HAS_HEADERS),
        });
    }

    /// How many rows were pushed.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The bytes pushed so far.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// The sequence numbers, in the order pushed.
    pub fn seqs(&self) -> impl Iterator<Item = i64> + '_ {
        self.rows.iter().map(|r| r.seq)
    }

    /// Orders the rows by sequence number; costs nothing where they are in order already.
    pub fn sort(&mut self) {
        if !self.rows.is_sorted_by_key(|r| r.seq) {
            self.rows.sort_by_key(|r| r.seq);
        }
    }

    /// The batch.
    pub fn finish(self) -> Batch {
        let chunk = Chunk { arena: Bytes::from(self.arena), rows: self.rows };
        Batch { slots: Slots::Whole(Arc::new(chunk)) }
    }
}

/// Equal keys hash equally within a process; two keys of one hash only wait for each other.
pub(crate) fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
