//! Messages of the log that were handed over once with an unknown end: they may still arrive.
//!
//! A publish of one key that gets no answer looks like an outage, and costs nothing. Where other keys are delivered
//! right after it, time and again, it is the message.

use std::collections::{BTreeMap, HashMap};

use crate::relay::parked::Lane;

/// How often others were delivered after it before its next silence counts. A broker that comes and goes may hit one
/// message twice.
const TIMES: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Unsure {
    /// How often others were delivered after it got no answer as the first in a publish of its key alone.
    passed: HashMap<i64, u32>,
    /// The first of each of these publishes since something of another key was delivered.
    alone: BTreeMap<i64, Lane>,
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

    /// It was the first of a publish of its key alone that got no answer. Says whether that is its fault.
    pub(super) fn unanswered_alone(&mut self, seq: i64, lane: Lane) -> bool {
        self.alone.insert(seq, lane);
        self.passed.get(&seq).is_some_and(|times| *times >= TIMES)
    }

    /// Something of the log was delivered. What it says of messages behind it in its own key is nothing.
    pub(super) fn delivered(&mut self, lanes: impl Iterator<Item = Lane>) {
        if self.alone.is_empty() {
            return;
        }
        let lanes: Vec<Lane> = lanes.collect();
        while let Some((seq, lane)) = self.alone.pop_first() {
            if lanes.iter().any(|delivered| *delivered != lane)
                && !lanes.contains(&lane)
                && let Some(times) = self.passed.get_mut(&seq)
            {
                *times += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: [Lane; 1] = [Lane::Key(2)];
    const OWN: [Lane; 1] = [Lane::Key(1)];

    #[test]
    fn silence_counts_once_others_were_delivered_after_it_three_times() {
        let mut unsure = Unsure::default();
        for _ in 0..3 {
            assert!(!unsure.unanswered_alone(7, Lane::Key(1)));
            assert!(!unsure.unanswered_alone(7, Lane::Key(1)), "an outage may be long");
            unsure.insert(7);
            unsure.delivered(OTHER.into_iter());
        }
        unsure.delivered(OTHER.into_iter());
        assert!(unsure.unanswered_alone(7, Lane::Key(1)));
        assert!(unsure.remove(7) && unsure.is_empty());
        assert!(!unsure.unanswered_alone(7, Lane::Key(1)), "what is delivered is forgotten");
    }

    #[test]
    fn what_is_delivered_of_its_own_key_says_nothing() {
        let mut unsure = Unsure::default();
        for _ in 0..9 {
            unsure.insert(8);
            assert!(!unsure.unanswered_alone(8, Lane::Key(1)));
            unsure.delivered(OWN.into_iter());
            assert!(!unsure.unanswered_alone(8, Lane::Key(1)));
            unsure.delivered(OWN.into_iter().chain(OTHER));
        }
    }
}
