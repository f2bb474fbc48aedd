//! What the next settlement will say, and when it is sent.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::observer::RelayEvent;
use crate::{DeadLetter, ParkedMessage, Settlement};

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Gathers outcomes into few settlements: a cursor row updated 1,000 times a second decays under a held snapshot.
#[derive(Debug)]
pub(crate) struct Plan {
    next: Settlement,
    /// What the window gets back once `next` is settled.
    next_size: Size,
    next_dead: Dead,
    sent: Option<Sent>,
    interval: Duration,
    last_end: Instant,
    lease: Duration,
    pub(crate) lease_until: Instant,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    size: Size,
    dead: Dead,
}

/// The dead letters of a settlement.
#[derive(Debug, Default)]
pub(crate) struct Dead {
    keys: HashSet<u64>,
    /// To be told when they are on record.
    pub(crate) born: Vec<RelayEvent>,
}

/// Messages and bytes of the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Size {
    pub(crate) fn add(&mut self, messages: usize, bytes: usize) {
        self.messages += messages;
        self.bytes += bytes;
    }

    pub(crate) fn sub(&mut self, other: Self) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl Plan {
    pub(crate) fn new(lease: Duration, acquired: Instant) -> Self {
        Self {
            next: Settlement::default(),
            next_size: Size::default(),
            next_dead: Dead::default(),
            sent: None,
            interval: SHORTEST,
            last_end: acquired,
            lease,
            lease_until: acquired + lease,
        }
    }

    pub(crate) fn delivered(&mut self, seqs: impl Iterator<Item = i64>, size: Size) {
        seqs.for_each(|seq| self.next.delivered.insert(seq));
        self.next_size.add(size.messages, size.bytes);
    }

    /// `size` is zero for one that was parked before.
    pub(crate) fn park(&mut self, park: ParkedMessage, size: Size) {
        if size == Size::default() {
            self.next.parked.retain(|p| p.seq != park.seq);
        }
        self.next.parked.push(park);
        self.next_size.add(size.messages, size.bytes);
    }

    pub(crate) fn unpark(&mut self, seq: i64, size: Size) {
        self.next.parked.retain(|p| p.seq != seq);
        self.next.unparked.push(seq);
        self.next_size.add(size.messages, size.bytes);
    }

    pub(crate) fn dead(&mut self, dead: DeadLetter, key: Option<u64>, size: Size, born: RelayEvent) {
        self.next_dead.keys.extend(key);
        self.next_dead.born.push(born);
        self.next.parked.retain(|p| p.seq != dead.seq);
        self.next.dead.push(dead);
        self.next_size.add(size.messages, size.bytes);
    }

    pub(crate) fn give_back(&mut self, size: Size) {
        self.next_size.add(size.messages, size.bytes);
    }

    /// When the next settlement is to be sent: soon where something waits, in time for the lease otherwise.
    pub(crate) fn due(&self, hurry: bool) -> Option<Instant> {
        if self.sent.is_some() {
            return None;
        }
        if self.next.is_empty() {
            return Some(self.lease_until - self.lease + self.lease / 3);
        }
        Some(if hurry { self.last_end } else { self.last_end + self.interval })
    }

    pub(crate) fn send(&mut self, now: Instant) -> Settlement {
        let settlement = std::mem::take(&mut self.next);
        let dead = std::mem::take(&mut self.next_dead);
        self.sent = Some(Sent { at: now, size: std::mem::take(&mut self.next_size), dead });
        settlement
    }

    /// The settlement is confirmed. Gives back its size and its dead letters.
    pub(crate) fn confirmed(&mut self, now: Instant) -> (Size, Dead) {
        let Some(sent) = self.sent.take() else { return Default::default() };
        let took = now.saturating_duration_since(sent.at);
        self.interval = (took * 50).clamp(SHORTEST, LONGEST.min(self.lease / 3));
        self.last_end = now;
        self.lease_until = sent.at + self.lease;
        (sent.size, sent.dead)
    }

    /// Whether a dead letter of this key waits for its settlement.
    pub(crate) fn has_dead(&self, key: u64) -> bool {
        self.next_dead.keys.contains(&key) || self.sent.as_ref().is_some_and(|s| s.dead.keys.contains(&key))
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.sent.is_none() && self.next.is_empty()
    }
}
