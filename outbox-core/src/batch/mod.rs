//! Messages on their way: one arena of bytes and a row of offsets each, instead of an allocation a message.

mod builder;
mod message_ref;

pub(crate) use builder::hash;
pub use builder::{BatchBuilder, Row};
pub use message_ref::MessageRef;

use std::sync::Arc;

use bytes::Bytes;

/// Messages in the order they were handed out. Cheap to clone.
#[derive(Clone, Default)]
pub struct Batch {
    slots: Slots,
}

#[derive(Clone)]
enum Slots {
    /// All rows of one chunk: what a fetch returns, and most often what is published.
    Whole(Arc<Chunk>),
    /// Rows picked from several chunks.
    Picked(Arc<[Slot]>),
}

impl Default for Slots {
    fn default() -> Self {
        Self::Picked(Arc::new([]))
    }
}

/// The arena of one fetch.
#[derive(Debug)]
struct Chunk {
    arena: Bytes,
    rows: Vec<Offsets>,
}

/// Where the parts of a message lie: each part ends where the next one starts.
#[derive(Debug, Clone, Copy)]
struct Offsets {
    seq: i64,
    id: u128,
    created_at: i64,
    key_hash: Option<u64>,
    start: u32,
    topic: u32,
    key: u32,
    event_type: u32,
    content_type: u32,
    headers: u32,
    payload: u32,
    /// Bits: key, content type, headers are present.
    present: u8,
}

/// One message of a [`Batch`], held without borrowing it.
#[derive(Clone)]
pub struct Slot {
    chunk: Arc<Chunk>,
    row: u32,
}

impl Slot {
    /// The message.
    pub fn message(&self) -> MessageRef<'_> {
        MessageRef { chunk: &self.chunk, row: self.row, index: 0 }
    }

    /// Its sequence number.
    pub fn seq(&self) -> i64 {
        self.chunk.rows[self.row as usize].seq
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({})", self.seq())
    }
}

impl Batch {
    /// The given messages, in this order.
    pub fn from_slots(slots: Vec<Slot>) -> Self {
        Self { slots: Slots::Picked(slots.into()) }
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        match &self.slots {
            Slots::Whole(chunk) => chunk.rows.len(),
            Slots::Picked(slots) => slots.len(),
        }
    }

    /// Whether it holds no message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn get(&self, index: usize) -> MessageRef<'_> {
        match &self.slots {
            Slots::Whole(chunk) => MessageRef { chunk, row: to_u32(index), index: to_u32(index) },
            Slots::Picked(slots) => {
                let slot = &slots[index];
                MessageRef { chunk: &slot.chunk, row: slot.row, index: to_u32(index) }
            }
        }
    }

    /// The message at `index`, held on its own.
    pub fn slot(&self, index: usize) -> Slot {
        match &self.slots {
            Slots::Whole(chunk) => Slot { chunk: chunk.clone(), row: to_u32(index) },
            Slots::Picked(slots) => slots[index].clone(),
        }
    }

    /// The messages in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = MessageRef<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The memory that the messages hold, in bytes: what the window counts.
    pub fn bytes(&self) -> usize {
        match &self.slots {
            Slots::Whole(chunk) => chunk.arena.len(),
            Slots::Picked(_) => self.iter().map(|m| m.size()).sum(),
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).finish_non_exhaustive()
    }
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).expect("a batch is bounded far below 4 Gi messages and bytes")
}
