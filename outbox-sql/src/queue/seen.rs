//! Which messages a reader of a queue has handed out, without I/O: which numbers it asks for, and what it may forget.
//!
//! A number that was seen never comes again: its message is in flight, or deleted, or of other topics. One that was not
//! seen may still commit, however low it is. So every read asks for **all** numbers that were not seen, the lowest
//! first: a floor, even one that is moved once a second, would hand out a message before an earlier one of its key that
//! commits late.
//!
//! Where the messages of other topics lie scattered (their lane is away, and what lay between them was delivered), they
//! are too many to be remembered. So below a bound nothing is remembered but what is in flight, and the server tells
//! the topics apart. That is right for any bound: it costs the server a scan, so it is raised only when there is need.

use std::fmt::Write;

use outbox_core::{SeqSet, Settlement};

/// With more ranges than this, the lowest are forgotten.
const MAX_RANGES: usize = 1_000;
/// A read is of other topics where less than one in so many is its own.
const FOREIGN: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Handed out, or of other topics; above the bound.
    seen: SeqSet,
    /// Handed out, and not known to be settled; wherever it is.
    in_flight: SeqSet,
    /// Up to here all but what is in flight is forgotten; `None`: nothing is.
    forgotten: Option<i64>,
    position: i64,
    /// What an earlier lease got to, and the last number that was drawn when this one was acquired.
    before: i64,
    drawn: i64,
    /// How far the bound goes ahead of what was read, while that is of other topics.
    stride: i64,
}

/// Conditions on `seq` for the numbers that were not seen: ascending, each one of its own region.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Regions {
    /// To be asked for with the topics.
    pub(super) forgotten: Option<String>,
    /// To be asked for without, as what is found of other topics is remembered.
    pub(super) others: Vec<String>,
}

impl Seen {
    /// Nothing, where an earlier lease got to `before` and writers are at `drawn`.
    pub(super) fn new(before: i64, drawn: i64) -> Self {
        Self { position: before, before, drawn, ..Self::default() }
    }

    /// These were read; the first of the two are handed out.
    pub(super) fn read(&mut self, mine: impl Iterator<Item = i64>, all: impl Iterator<Item = i64>) {
        // Above the bound.
        let (mut own, mut found) = (0_usize, 0_usize);
        let above = |seq| self.forgotten.is_none_or(|to| seq > to);
        for seq in mine {
            self.in_flight.insert(seq);
            own += usize::from(above(seq));
        }
        for seq in all {
            self.position = self.position.max(seq);
            if above(seq) {
                self.seen.insert(seq);
                found += 1;
            }
        }
        self.forget(own < found / FOREIGN);
    }

    /// The settlement was confirmed: its messages are gone.
    pub(super) fn settled(&mut self, settlement: &Settlement) {
        self.in_flight.remove_all(&settlement.delivered);
        let others = settlement.parked.iter().map(|p| p.seq).chain(settlement.dead.iter().map(|d| d.seq));
        others.chain(settlement.unparked.iter().copied()).for_each(|seq| self.in_flight.remove_range(seq, seq));
    }

    /// Where there are too many ranges, the bound is raised: over the lowest, and over what the earlier lease read, as
    /// that is scattered too. While hardly anything but other topics is found it goes ahead, each time twice as far:
    /// there are few scans until something is found. Not beyond what was drawn by then: what is newer is mostly not
    /// scattered.
    fn forget(&mut self, foreign: bool) {
        if !foreign {
            self.stride = 0;
        }
        let ranges = self.seen.ranges();
        let excess = ranges.len().saturating_sub(MAX_RANGES);
        let Some(&(_, highest)) = excess.checked_sub(1).and_then(|last| ranges.get(last)) else { return };
        if foreign {
            let span = ranges.first().zip(ranges.last()).map_or(0, |(first, last)| last.1.saturating_sub(first.0));
            self.stride = self.stride.saturating_mul(2).max(span);
        }
        let ahead = highest.saturating_add(self.stride).min(self.drawn);
        let to = highest.max(self.before).max(ahead);
        self.seen.remove_range(i64::MIN, to);
        self.forgotten = Some(to);
    }

    /// The highest number that was seen.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Where the numbers are that were not seen.
    pub(super) fn regions(&self) -> Regions {
        let forgotten = self.forgotten.map(|to| {
            let below = self.in_flight.ranges().iter().take_while(|(lo, _)| *lo <= to);
            // A list of numbers, however long, is searched; so many conditions would be gone through row by row.
            let below: Vec<i64> = below.flat_map(|(lo, hi)| *lo..=*hi.min(&to)).collect();
            let text = format!("seq <= {to}");
            if below.is_empty() { text } else { format!("{text} and seq not in ({})", numbers(&below)) }
        });
        let ranges = self.seen.ranges();
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return Regions {
                others: vec![self.forgotten.map_or("true".into(), |to| format!("seq > {to}"))],
                forgotten,
            };
        };
        let mut others = Vec::new();
        let mut holes: Vec<(i64, i64)> = ranges.windows(2).map(|w| (w[0].1 + 1, w[1].0 - 1)).collect();
        match self.forgotten {
            None => others.push(format!("seq < {}", first.0)),
            Some(to) if to < first.0 - 1 => holes.insert(0, (to + 1, first.0 - 1)),
            Some(_) => {}
        }
        if !holes.is_empty() {
            others.push(among(&holes));
        }
        others.push(format!("seq > {}", last.1));
        Regions { forgotten, others }
    }
}

/// A condition on `seq` for these numbers.
pub(super) fn listed(seqs: &[i64]) -> String {
    format!("seq in ({})", numbers(seqs))
}

fn numbers(seqs: &[i64]) -> String {
    seqs.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
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
    use std::collections::BTreeMap;

    use super::*;

    fn delivered(seqs: impl IntoIterator<Item = i64>) -> Settlement {
        Settlement { delivered: seqs.into_iter().collect(), ..Settlement::default() }
    }

    /// What a fetch with this limit would find of these messages.
    fn next(seen: &Seen, all: &BTreeMap<i64, bool>, limit: usize) -> Vec<i64> {
        let asked = |seq: &i64, mine: bool| {
            if seen.forgotten.is_some_and(|to| *seq <= to) {
                return mine && !seen.in_flight.contains(*seq);
            }
            !seen.seen.contains(*seq)
        };
        all.iter().filter(|(seq, mine)| asked(seq, **mine)).map(|(seq, _)| *seq).take(limit).collect()
    }

    /// Fetches until something of its own is found, or there is no more. Gives that, and how many fetches it took.
    fn fetch(seen: &mut Seen, all: &BTreeMap<i64, bool>, limit: usize) -> (Vec<i64>, usize) {
        for fetches in 1.. {
            let found = next(seen, all, limit);
            let mine: Vec<i64> = found.iter().copied().filter(|seq| all[seq]).collect();
            seen.read(mine.iter().copied(), found.iter().copied());
            assert!(seen.seen.ranges().len() <= MAX_RANGES);
            if !mine.is_empty() || found.len() < limit {
                return (mine, fetches);
            }
        }
        unreachable!()
    }

    fn others(seen: &Seen) -> Vec<String> {
        seen.regions().others
    }

    #[test]
    fn every_number_that_was_not_seen_is_asked_for() {
        let mut seen = Seen::default();
        assert_eq!(others(&seen), ["true"]);
        seen.read([5, 6, 9].into_iter(), [5, 6, 8, 9, 13, 20].into_iter());
        assert_eq!(
            others(&seen),
            ["seq < 5", "seq in (7) or seq between 10 and 12 or seq between 14 and 19", "seq > 20"]
        );
        assert_eq!((seen.position(), seen.regions().forgotten), (20, None));
        seen.settled(&delivered([5, 6, 9]));
        assert_eq!(others(&seen).len(), 3, "what was deleted needs no look");
    }

    #[test]
    fn what_is_in_flight_is_never_asked_for_again() {
        let mut seen = Seen::default();
        let all: Vec<i64> = (1..=4_000).map(|n| 2 * n).collect();
        seen.read(all.iter().copied(), all.iter().copied());
        assert_eq!(seen.seen.ranges().len(), MAX_RANGES);
        let bound = 2 * (4_000 - MAX_RANGES as i64);
        let listed: Vec<String> = all.iter().filter(|seq| **seq <= bound).map(i64::to_string).collect();
        let forgotten = seen.regions().forgotten;
        assert_eq!(forgotten, Some(format!("seq <= {bound} and seq not in ({})", listed.join(","))));
        seen.settled(&delivered(all.iter().copied().filter(|seq| *seq != 100)));
        assert_eq!(seen.regions().forgotten, Some(format!("seq <= {bound} and seq not in (100)")));
        seen.settled(&delivered([100]));
        assert_eq!(seen.regions().forgotten, Some(format!("seq <= {bound}")));
        assert!(others(&seen)[0].starts_with(&format!("seq in ({},", bound + 1)), "{:?}", others(&seen));
    }

    #[test]
    fn after_a_restart_what_was_read_before_is_left_to_the_server() {
        let all: BTreeMap<i64, bool> = (1..=60_000).filter(|n| n % 2 == 0).map(|n| (n, false)).collect();
        let mut seen = Seen::new(60_000, 60_000);
        let (mine, fetches) = fetch(&mut seen, &all, 500);
        assert_eq!((mine, fetches), (vec![], 4));
        assert_eq!(
            seen.regions(),
            Regions { forgotten: Some("seq <= 60000".into()), others: vec!["seq > 60000".into()] }
        );
        let mut all = all;
        all.extend([(1_001, true), (60_001, false), (60_002, true)]);
        assert_eq!(fetch(&mut seen, &all, 500), (vec![1_001, 60_002], 1), "a late one comes first");
        assert_eq!(seen.seen.ranges(), [(60_001, 60_002)]);
        assert_eq!(seen.regions().forgotten.as_deref(), Some("seq <= 60000 and seq not in (1001)"));
        assert_eq!(fetch(&mut seen, &all, 500), (vec![], 1));
    }

    #[test]
    fn a_long_way_over_other_topics_takes_few_scans() {
        let scattered = (1..=2_000_000).filter(|n| n % 2 == 0).map(|n| (n, false));
        let all: BTreeMap<i64, bool> = scattered.chain([(1_000_001, true), (2_000_001, true)]).collect();
        let mut seen = Seen::new(0, 2_000_001);
        let (mine, fetches) = fetch(&mut seen, &all, 500);
        assert_eq!(mine, [1_000_001]);
        assert!(fetches < 50, "{fetches}");
        let (mine, fetches) = fetch(&mut seen, &all, 500);
        assert_eq!(mine, [2_000_001]);
        assert!(fetches < 50, "{fetches}");
    }

    #[test]
    fn some_of_its_own_among_many_others_take_few_scans_too() {
        let mut all: BTreeMap<i64, bool> =
            (1..=1_000_000).filter(|n| n % 2 == 0).map(|n| (n, n % 1_000 == 0)).collect();
        all.insert(2_000_001, true);
        let mut seen = Seen::new(0, 2_000_001);
        let (mut found, mut fetches) = (0, 0);
        while found < 1_001 {
            let (mine, took) = fetch(&mut seen, &all, 500);
            (found, fetches) = (found + mine.len(), fetches + took);
            seen.settled(&delivered(mine.iter().copied()));
            mine.iter().for_each(|seq| _ = all.remove(seq));
        }
        assert!(fetches < 50, "{fetches}");
    }

    #[test]
    fn other_topics_that_are_not_scattered_are_remembered() {
        let all: BTreeMap<i64, bool> = (1..=100_000).map(|n| (n, n % 4 == 0)).collect();
        let mut seen = Seen::new(0, 100_000);
        let mut found = 0;
        while let (mine, 1) = fetch(&mut seen, &all, 500) {
            found += mine.len();
            if mine.is_empty() {
                break;
            }
            seen.settled(&delivered(mine));
        }
        assert_eq!((found, seen.seen.ranges()), (25_000, &[(1, 100_000)][..]));
        assert_eq!(seen.regions().forgotten, None);
    }

    #[test]
    fn exactly_the_numbers_are_named() {
        assert_eq!(among(&[(1, 1), (3, 5), (9, 9)]), "seq in (1,9) or seq between 3 and 5");
        assert_eq!(among(&[(3, 5)]), "seq between 3 and 5");
        assert_eq!(among(&[]), "false");
    }
}
