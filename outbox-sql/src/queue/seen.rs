//! Which messages a reader of a queue has handed out, without I/O: which numbers it asks for, and what it may forget.
//!
//! A number that was seen never comes again: its message is in flight, or deleted. One that was not seen may still
//! commit, however low it is. So every read asks for **all** numbers that were not seen, the lowest first: a floor,
//! even one that is moved once a second, would hand out a message before an earlier one of its key that commits late.

use std::fmt::Write;

use outbox_core::{SeqSet, Settlement};

/// With more ranges than this, the lowest are forgotten where nothing of them is in flight: then their numbers are
/// asked for again, as one range in which nothing is left.
const MAX_RANGES: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Handed out, or of other topics.
    seen: SeqSet,
    /// Handed out, and not known to be settled.
    in_flight: SeqSet,
    position: i64,
}

impl Seen {
    /// Nothing, where an earlier lease got to `position`.
    pub(super) fn new(position: i64) -> Self {
        Self { position, ..Self::default() }
    }

    /// These were read; the first of the two are handed out.
    pub(super) fn read(&mut self, mine: impl Iterator<Item = i64>, all: impl Iterator<Item = i64>) {
        mine.for_each(|seq| self.in_flight.insert(seq));
        for seq in all {
            self.seen.insert(seq);
            self.position = self.position.max(seq);
        }
    }

    /// The settlement was confirmed: its messages are gone.
    pub(super) fn settled(&mut self, settlement: &Settlement) {
        self.in_flight.remove_all(&settlement.delivered);
        let others = settlement.parked.iter().map(|p| p.seq).chain(settlement.dead.iter().map(|d| d.seq));
        others.chain(settlement.unparked.iter().copied()).for_each(|seq| self.in_flight.remove_range(seq, seq));
        let excess = self.seen.ranges().len().saturating_sub(MAX_RANGES);
        if let Some(&(_, hi)) = excess.checked_sub(1).and_then(|last| self.seen.ranges().get(last)) {
            let bound = self.in_flight.first().map_or(hi, |first| hi.min(first - 1));
            self.seen.remove_range(i64::MIN, bound);
        }
    }

    /// The highest number that was seen.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Conditions on `seq` for the numbers that were not seen: ascending, each one of its own region.
    pub(super) fn regions(&self) -> Vec<String> {
        let ranges = self.seen.ranges();
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return vec!["true".into()] };
        let mut regions = vec![format!("seq < {}", first.0)];
        let holes: Vec<(i64, i64)> = ranges.windows(2).map(|w| (w[0].1 + 1, w[1].0 - 1)).collect();
        if !holes.is_empty() {
            regions.push(among(&holes));
        }
        regions.push(format!("seq > {}", last.1));
        regions
    }
}

/// A condition on `seq` for these numbers.
pub(super) fn listed(seqs: &[i64]) -> String {
    let numbers: Vec<String> = seqs.iter().map(i64::to_string).collect();
    format!("seq in ({})", numbers.join(","))
}

/// A condition on `seq` for exactly these numbers.
fn among(ranges: &[(i64, i64)]) -> String {
    let mut text = String::new();
    let singles = ranges.iter().filter(|(lo, hi)| lo == hi);
    for (i, (seq, _)) in singles.enumerate() {
        // Writing to a String cannot fail.
        _ = write!(text, "{}{seq}", if i == 0 { "seq in (" } else { "," });
    }
    if !text.is_empty() {
        text.push(')');
    }
    for (lo, hi) in ranges.iter().filter(|(lo, hi)| lo < hi) {
        let or = if text.is_empty() { "" } else { " or " };
        _ = write!(text, "{or}seq between {lo} and {hi}");
    }
    if text.is_empty() { "false".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(seqs: impl IntoIterator<Item = i64>) -> Settlement {
        Settlement { delivered: seqs.into_iter().collect(), ..Settlement::default() }
    }

    #[test]
    fn every_number_that_was_not_seen_is_asked_for() {
        let mut seen = Seen::default();
        assert_eq!(seen.regions(), ["true"]);
        seen.read([5, 6, 9].into_iter(), [5, 6, 8, 9, 13, 20].into_iter());
        assert_eq!(
            seen.regions(),
            ["seq < 5", "seq in (7) or seq between 10 and 12 or seq between 14 and 19", "seq > 20"]
        );
        assert_eq!(seen.position(), 20);
        seen.settled(&delivered([5, 6, 9]));
        assert_eq!(seen.regions().len(), 3, "what was deleted needs no look");
    }

    #[test]
    fn what_is_in_flight_is_never_forgotten() {
        let mut seen = Seen::default();
        let all: Vec<i64> = (0..4_000).map(|n| 2 * n).collect();
        seen.read(all.iter().copied(), all.iter().copied());
        seen.settled(&delivered(all.iter().copied().filter(|seq| *seq != 100)));
        assert!(seen.regions()[0] == "seq < 100", "{}", seen.regions()[0]);
        seen.settled(&delivered([100]));
        let kept = seen.seen.ranges().len();
        assert_eq!(kept, MAX_RANGES);
        assert_eq!(seen.regions()[0], format!("seq < {}", 2 * (4_000 - MAX_RANGES as i64)));
    }

    #[test]
    fn exactly_the_numbers_are_named() {
        assert_eq!(among(&[(1, 1), (3, 5), (9, 9)]), "seq in (1,9) or seq between 3 and 5");
        assert_eq!(among(&[(3, 5)]), "seq between 3 and 5");
        assert_eq!(among(&[]), "false");
    }
}
