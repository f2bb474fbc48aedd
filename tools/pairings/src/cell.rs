use std::time::Duration;

use outbox_conformance::Verdict;

use crate::{MESSAGES, Store};

/// Messages that a relay hands out ahead of their acknowledgement: what one fault may send twice.
pub(crate) const WINDOW: usize = 200;

/// What one pairing showed.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Who wrote and relayed.
    pub store: Store,
    /// Of [`TRANSPORTS`](crate::TRANSPORTS).
    pub transport: &'static str,
    /// What was done to the broker.
    pub fault: &'static str,
    /// Of the ledger.
    pub verdict: Verdict,
    /// Transactions that were rolled back.
    pub rolled_back: usize,
    /// Messages that were acknowledged when the broker failed.
    pub before: u64,
    /// How often the relay found the broker away.
    pub outages: u64,
    /// Dead letters.
    pub dead: i64,
    /// What the outbox says still waits, at the end.
    pub waiting: i64,
    /// From the moment at which the broker was back; `None` where the relay gave up.
    pub drained: Option<Duration>,
}

impl Cell {
    /// What must not be, in words; nothing where all is well.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        let v = &self.verdict;
        let count = |what: &str, n: usize| (n > 0).then(|| format!("{n} {what}"));
        let must = |holds: bool, what: &str| (!holds).then(|| what.to_owned());
        [
            count("lost", v.lost.len()),
            count("invented", v.invented.len()),
            count("inversions", v.inversions.len()),
            count("changed on the way", v.corrupted.len()),
            count("dead letters", usize::try_from(self.dead).unwrap_or_default()),
            count("still waiting", usize::try_from(self.waiting).unwrap_or_default()),
            must(v.committed == MESSAGES, &format!("{} messages were written, not {MESSAGES}", v.committed)),
            must(v.duplicates <= WINDOW, &format!("{} duplicates, more than one window of {WINDOW}", v.duplicates)),
            must(self.drained.is_some(), "not drained"),
            // Else the run shows nothing.
            must(self.rolled_back > 0, "no transaction was rolled back"),
            must(self.before > 0 && self.before < MESSAGES as u64, "the broker did not fail in the middle"),
            must(self.outages > 0, "the relay has not noticed that the broker failed"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
