//! What became of each message, as an outside observer sees it, and the promises that can be checked on the spot.

use std::collections::BTreeMap;

use crate::plan::Plan;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number or name, such as `G3 order`.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

/// One process, from a start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) process: u8,
    pub(crate) life: u8,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p{}.{}", self.process, self.life)
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) key: Option<u8>,
    pub(crate) transaction: u32,
    /// The step at which its enqueue began, and at which its transaction committed.
    pub(crate) enqueued: Option<u64>,
    pub(crate) committed: Option<u64>,
    /// Committed, and lost by a failover.
    pub(crate) undone: bool,
    /// Its dead letter was lost by a failover: nothing can keep its place in the order.
    pub(crate) undead: bool,
    /// How often it was handed to a transport, and stored.
    pub(crate) attempts: u32,
    pub(crate) stored: u32,
    /// Failures that count as attempts.
    pub(crate) failures: u32,
    /// Its latest attempt failed with all others: an outage, or its own failure if a later one of this process
    /// succeeds.
    pub(crate) suspect: Option<Who>,
    pub(crate) rejected: bool,
    /// The relay knows that it is delivered, and no fault has made it forget that since.
    pub(crate) confirmed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) messages: BTreeMap<u32, Entry>,
    pub(crate) violations: Vec<Violation>,
    step: u64,
    /// Who acquired last, and how often anyone did.
    pub(crate) holder: Option<(Who, u64)>,
    /// The faults that have shown any effect so far, and those at the latest acquisition.
    pub(crate) disturbances: u64,
    pub(crate) disturbances_then: u64,
    /// Processes that are frozen now.
    pub(crate) frozen: u64,
    /// How often a relay lost its lease.
    pub(crate) leases_lost: u64,
}

impl Book {
    pub(crate) fn new(plan: &Plan) -> Self {
        let entries = plan.transactions.iter().flat_map(|t| {
            t.writes.iter().map(|w| (w.message, Entry { key: w.key, transaction: t.number, ..Entry::default() }))
        });
        Self { messages: entries.collect(), ..Self::default() }
    }

    pub(crate) fn broken(&mut self, promise: &'static str, what: String) {
        self.violations.push(Violation { promise, what });
    }

    pub(crate) fn disturb(&mut self) {
        self.disturbances += 1;
    }

    fn tick(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    pub(crate) fn enqueue_begins(&mut self, message: u32) {
        let step = self.tick();
        if let Some(m) = self.messages.get_mut(&message) {
            m.enqueued = Some(step);
        }
    }

    pub(crate) fn committed(&mut self, messages: &[u32]) {
        let step = self.tick();
        for message in messages {
            if let Some(m) = self.messages.get_mut(message) {
                m.committed = Some(step);
            }
        }
    }

    /// The broker stored a copy. Says how many there are.
    pub(crate) fn stored(&mut self, message: u32) -> u32 {
        let Some(m) = self.messages.get_mut(&message) else { return 0 };
        m.stored += 1;
        let (m, copies) = (m.clone(), m.stored);
        if copies > 1 || m.undone || m.undead {
            return copies;
        }
        if m.committed.is_none() {
            self.broken("G1 atomic", format!("m{message} was stored, and its transaction did not commit"));
        }
        if m.key.is_none() {
            return copies;
        }
        let after = |(id, o): &(&u32, &Entry)| {
            o.key == m.key && o.stored > 0 && !o.undone && precedes((message, &m), (**id, o))
        };
        if let Some((later, _)) = self.messages.iter().find(after) {
            let what = format!("m{message} was first stored after m{later} of its key k{}", m.key.unwrap_or_default());
            self.broken("G3 order", what);
        }
        copies
    }

    /// A copy is handed to a transport.
    pub(crate) fn handed_over(&mut self, who: Who, messages: &[u32]) {
        if let Some((holder, _)) = self.holder
            && holder != who
        {
            self.broken("G6 fencing", format!("{who} hands {messages:?} to its transport, and {holder} has the lease"));
        }
        for message in messages {
            let Some(m) = self.messages.get_mut(message) else { continue };
            m.attempts += 1;
            if m.confirmed {
                m.confirmed = false;
                self.broken("G4 duplicates", format!("{who} sends m{message} again, which it knows to be delivered"));
            }
        }
    }

    /// Something was delivered: the broker is there.
    pub(crate) fn answered(&mut self, by: Who) {
        for m in self.messages.values_mut().filter(|m| m.suspect == Some(by)) {
            m.suspect = None;
            m.failures += 1;
        }
    }

    /// A failure is of the message's own making.
    pub(crate) fn failed(&mut self, message: u32) {
        if let Some(m) = self.messages.get_mut(&message) {
            m.failures += 1;
        }
    }
}

/// Whether the order of the two is promised.
fn precedes((a, first): (u32, &Entry), (b, second): (u32, &Entry)) -> bool {
    if first.transaction == second.transaction {
        return a < b;
    }
    matches!((first.committed, second.enqueued), (Some(end), Some(begin)) if end < begin)
}
