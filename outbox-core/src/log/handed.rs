//! How many messages were handed out of a range of sequence numbers, about: their numbers need not be without gaps,
//! because of rollbacks, and of topics that are not this relay's.

use std::collections::VecDeque;

/// Sequence numbers up to which a known number of messages was handed out, ascending; in between they count as spread
/// evenly.
#[derive(Debug)]
pub(super) struct Handed {
    marks: VecDeque<(i64, u64)>,
}

impl Handed {
    /// Nothing was handed out of what is above the floor.
    pub(super) fn above(floor: i64) -> Self {
        Self { marks: [(floor, 0)].into() }
    }

    /// So many more were handed out, of numbers up to this one.
    pub(super) fn add(&mut self, up_to: i64, count: u64) {
        let (last, total) = self.marks.back().copied().unwrap_or_default();
        let total = total.saturating_add(count);
        if up_to <= last {
            // Late ones, of numbers that were passed over.
            self.marks.pop_back();
        }
        self.marks.push_back((last.max(up_to), total));
    }

    /// Of what is not above this nobody asks any more.
    pub(super) fn forget(&mut self, settled: i64) {
        while self.marks.get(1).is_some_and(|(seq, _)| *seq <= settled) {
            self.marks.pop_front();
        }
    }

    /// About how many of `lo..=hi`.
    pub(super) fn within(&self, lo: i64, hi: i64) -> u64 {
        self.up_to(hi).saturating_sub(self.up_to(lo.saturating_sub(1)))
    }

    fn up_to(&self, seq: i64) -> u64 {
        let next = self.marks.partition_point(|(mark, _)| *mark <= seq);
        let Some(before) = next.checked_sub(1).and_then(|i| self.marks.get(i)) else { return self.marks[0].1 };
        let Some(after) = self.marks.get(next) else { return before.1 };
        let (part, whole) = (u128::from(seq.abs_diff(before.0)), u128::from(after.0.abs_diff(before.0)));
        before.1 + u64::try_from(u128::from(after.1 - before.1) * part / whole).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_out_of_a_range_is_known_about() {
        let mut handed = Handed::above(100);
        handed.add(200, 100); // 101..=200, without a gap
        handed.add(1_200, 10); // one of a hundred
        assert_eq!(handed.within(101, 200), 100);
        assert_eq!(handed.within(151, 160), 10);
        assert_eq!(handed.within(191, 700), 10 + 5);
        assert_eq!(handed.within(1_201, 9_999), 0);
        handed.add(1_200, 1); // late
        assert_eq!(handed.within(101, 1_200), 111);
        handed.forget(600);
        assert_eq!(
            (handed.within(i64::MIN, 200), handed.within(701, 1_200)),
            (0, 6),
            "what is before a number is rounded down"
        );
        handed.forget(1_200);
        assert_eq!((handed.marks.len(), handed.within(i64::MIN, i64::MAX)), (1, 0));
    }
}
