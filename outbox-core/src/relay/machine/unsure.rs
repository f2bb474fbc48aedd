//! Messages of the log that were handed over once with an unknown end: they may still arrive.
//!
//! A publish of one key that gets no answer looks like an outage, and costs nothing. Where others are delivered right
//! after it, time and again, it is the message.

use std::collections::HashMap;

/// How often others were delivered after it before its next silence counts. A broker that comes and goes may hit one
/// message twice.
const TIMES: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Unsure {
    /// How often others were delivered after it got no answer in a publish of its key alone.
    passed: HashMap<i64, u32>,
    /// Of these publishes, what they held since something of the log was delivered.
    alone: Vec<i64>,
}

impl Unsure {
    pub(super) fn is_empty(&self) -> bool {
        self.passed.is_empty()
    }

    pub(super) fn contains(&self, seq: i64) -> bool {
        self.passed.contains_key(&seq)
    }

    pub(super) fn insert(&mut self, seq: i64) {
        self.passed.entry(seq).or_default();
    }

    /// It was delivered, or is kept elsewhere from now on. Says whether it was here.
    pub(super) fn remove(&mut self, seq: i64) -> bool {
        self.passed.remove(&seq).is_some()
    }

    /// They were all of a publish, are of one key, and got no answer. Says whether it is the fault of the first.
    pub(super) fn unanswered_alone(&mut self, seqs: impl Iterator<Item = i64>) -> bool {
        let before = self.alone.len();
        self.alone.extend(seqs);
        let first = self.alone.get(before).and_then(|seq| self.passed.get(seq));
        first.is_some_and(|times| *times >= TIMES)
    }

    /// Something of the log was delivered.
    pub(super) fn others_delivered(&mut self) {
        let mut alone = std::mem::take(&mut self.alone);
        alone.sort_unstable();
        alone.dedup();
        for seq in alone {
            if let Some(times) = self.passed.get_mut(&seq) {
                *times += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_once_others_were_delivered_after_it_three_times() {
        let mut unsure = Unsure::default();
        for _ in 0..3 {
            assert!(!unsure.unanswered_alone([7, 8].into_iter()));
            assert!(!unsure.unanswered_alone([7].into_iter()), "an outage may be long");
            unsure.insert(7);
            unsure.others_delivered();
        }
        unsure.others_delivered();
        assert!(unsure.unanswered_alone([7].into_iter()));
        assert!(!unsure.unanswered_alone([8].into_iter()), "which is not handed over any more");
        assert!(unsure.remove(7) && unsure.is_empty());
        assert!(!unsure.unanswered_alone([7].into_iter()), "what is delivered is forgotten");
    }
}
