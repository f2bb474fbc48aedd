use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{BoxError, MessageRef};

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Stored by the broker, by its own acknowledgement.
    Delivered,
    /// Stored or not, nobody knows: to be tried again. The reason, where one was given.
    Unknown(Option<String>),
    /// Can never be stored: a dead letter.
    Rejected(String),
    /// Its destination does not exist or refuses us; other topics are not concerned.
    Destination(String),
    /// The transport panicked on this message alone. Said by the relay.
    Panicked,
}

impl Outcome {
    fn from_code(code: u8, error: Option<String>) -> Self {
        match code {
            DELIVERED => Self::Delivered,
            REJECTED => Self::Rejected(error.unwrap_or_default()),
            DESTINATION => Self::Destination(error.unwrap_or_default()),
            PANICKED => Self::Panicked,
            _ => Self::Unknown(error),
        }
    }
}

/// Where a transport says what became of the messages of one `publish`. Cheap to clone, `'static`.
///
/// A slot is a [`MessageRef`] of the batch or its [`index`](MessageRef::index). The first word on a slot counts, except
/// that `delivered` replaces `unknown`. An index out of range is ignored.
#[derive(Debug, Clone)]
pub struct Outcomes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: Box<[AtomicU8]>,
    delivered: AtomicUsize,
    closed: AtomicBool,
    errors: Mutex<Vec<(usize, String)>>,
}

const UNSAID: u8 = 0;
const DELIVERED: u8 = 1;
const UNKNOWN: u8 = 2;
const REJECTED: u8 = 3;
const DESTINATION: u8 = 4;
const PANICKED: u8 = 5;

/// The place of a message in its batch.
pub trait SlotIndex {
    /// The index.
    fn slot_index(&self) -> usize;
}

impl SlotIndex for usize {
    fn slot_index(&self) -> usize {
        *self
    }
}

impl SlotIndex for MessageRef<'_> {
    fn slot_index(&self) -> usize {
        self.index()
    }
}

impl Outcomes {
    /// For a batch of `len` messages, nothing said yet. The relay makes one for each `publish`; tests may too.
    pub fn new(len: usize) -> Self {
        Self(Arc::new(Inner {
            slots: (0..len).map(|_| AtomicU8::new(UNSAID)).collect(),
            delivered: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            errors: Mutex::default(),
        }))
    }

    /// The broker acknowledged this message.
    pub fn delivered(&self, slot: impl SlotIndex) {
        let Some(cell) = self.open(&slot) else { return };
        let set = |from| cell.compare_exchange(from, DELIVERED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if set(UNSAID) || set(UNKNOWN) {
            self.0.delivered.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Whether it was stored is not known, or it was not: to be tried again.
    pub fn unknown(&self, slot: impl SlotIndex, error: impl Into<BoxError>) {
        self.say(&slot, UNKNOWN, error.into());
    }

    /// This message can never be stored.
    pub fn reject(&self, slot: impl SlotIndex, error: impl Into<BoxError>) {
        self.say(&slot, REJECTED, error.into());
    }

    /// The destination of this message does not exist or refuses us.
    pub fn destination(&self, slot: impl SlotIndex, error: impl Into<BoxError>) {
        self.say(&slot, DESTINATION, error.into());
    }

    /// The transport panicked on this message alone.
    pub(crate) fn panicked(&self, index: usize) {
        self.0.slots[index].store(PANICKED, Ordering::Release);
    }

    /// Says what was said elsewhere.
    pub(crate) fn copy(&self, index: usize, outcome: Outcome) {
        match outcome {
            Outcome::Delivered => self.delivered(index),
            Outcome::Unknown(e) => self.unknown(index, e.unwrap_or_default()),
            Outcome::Rejected(e) => self.reject(index, e),
            Outcome::Destination(e) => self.destination(index, e),
            Outcome::Panicked => self.panicked(index),
        }
    }

    /// Whether nothing was said of it yet.
    pub(crate) fn is_unsaid(&self, index: usize) -> bool {
        self.0.slots[index].load(Ordering::Acquire) == UNSAID
    }

    /// Ends what can be said. The relay calls it when `publish` returned, was cancelled or panicked.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
    }

    /// How many messages the batch has.
    pub fn len(&self) -> usize {
        self.0.slots.len()
    }

    /// Whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.0.slots.is_empty()
    }

    /// Whether every message was said to be delivered.
    pub fn all_delivered(&self) -> bool {
        self.0.delivered.load(Ordering::Acquire) == self.len()
    }

    /// What was said of the message at `index`; unsaid is unknown.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn get(&self, index: usize) -> Outcome {
        Outcome::from_code(self.0.slots[index].load(Ordering::Acquire), self.error(index))
    }

    /// What was said of each message, in order of the batch.
    pub(crate) fn all(&self) -> Vec<Outcome> {
        let mut errors = self.0.errors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        errors.sort_unstable_by_key(|(i, _)| *i);
        let mut errors = errors.into_iter().peekable();
        let mut outcome = |(i, cell): (usize, &AtomicU8)| {
            let error = errors.next_if(|(at, _)| *at == i).map(|(_, e)| e);
            Outcome::from_code(cell.load(Ordering::Acquire), error)
        };
        self.0.slots.iter().enumerate().map(&mut outcome).collect()
    }

    fn error(&self, index: usize) -> Option<String> {
        let errors = self.0.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.iter().find(|(i, _)| *i == index).map(|(_, e)| e.clone())
    }

    fn open(&self, slot: &impl SlotIndex) -> Option<&AtomicU8> {
        if self.0.closed.load(Ordering::Acquire) { None } else { self.0.slots.get(slot.slot_index()) }
    }

    fn say(&self, slot: &impl SlotIndex, what: u8, error: BoxError) {
        let Some(cell) = self.open(slot) else { return };
        let mut errors = self.0.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if cell.compare_exchange(UNSAID, what, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            errors.push((slot.slot_index(), crate::error::chain(&*error)));
        }
    }
}
