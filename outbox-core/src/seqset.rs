//! A set of sequence numbers as sorted ranges: what is handed out and not settled, in a few words of memory.

/// A set of `i64`, kept as sorted, disjoint, non-adjacent inclusive ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeqSet {
    ranges: Vec<(i64, i64)>,
}

impl SeqSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ranges, inclusive at both ends, ascending.
    pub fn ranges(&self) -> &[(i64, i64)] {
        &self.ranges
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in it.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(lo, hi)| hi.abs_diff(*lo) + 1).sum()
    }

    /// The lowest number.
    pub fn first(&self) -> Option<i64> {
        self.ranges.first().map(|r| r.0)
    }

    /// Whether `seq` is in it.
    pub fn contains(&self, seq: i64) -> bool {
        let i = self.ranges.partition_point(|r| r.1 < seq);
        self.ranges.get(i).is_some_and(|r| r.0 <= seq)
    }

    /// Adds one number; appending in ascending order costs O(1).
    pub fn insert(&mut self, seq: i64) {
        self.insert_range(seq, seq);
    }

    /// Adds `lo..=hi`; nothing where `lo > hi`.
    pub fn insert_range(&mut self, lo: i64, hi: i64) {
        if lo > hi {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if lo == last.1 + 1 => return last.1 = hi,
            Some(last) if lo <= last.1 => {}
            _ => return self.ranges.push((lo, hi)),
        }
        // The ranges that touch or overlap lo..=hi become one.
        let from = self.ranges.partition_point(|r| r.1 < lo - 1);
        let to = self.ranges.partition_point(|r| r.0 <= hi + 1);
        let joined = self.ranges[from..to].iter().fold((lo, hi), |a, r| (a.0.min(r.0), a.1.max(r.1)));
        self.ranges.splice(from..to, [joined]);
    }

    /// Removes `lo..=hi`.
    pub fn remove_range(&mut self, lo: i64, hi: i64) {
        let from = self.ranges.partition_point(|r| r.1 < lo);
        let to = self.ranges.partition_point(|r| r.0 <= hi);
        if from >= to {
            return;
        }
        let (first, last) = (self.ranges[from], self.ranges[to - 1]);
        let left = (first.0 < lo).then(|| (first.0, lo - 1));
        let right = (last.1 > hi).then(|| (hi + 1, last.1));
        self.ranges.splice(from..to, left.into_iter().chain(right));
    }

    /// Removes every number of `other`.
    pub fn remove_all(&mut self, other: &Self) {
        for &(lo, hi) in &other.ranges {
            self.remove_range(lo, hi);
        }
    }

    /// At most `max` ranges, the smallest gaps filled: a superset of this set.
    #[must_use]
    pub fn capped(&self, max: usize) -> Self {
        if self.ranges.len() <= max {
            return self.clone();
        }
        let mut gaps: Vec<i64> = self.ranges.windows(2).map(|w| w[1].0 - w[0].1).collect();
        gaps.sort_unstable();
        let filled = self.ranges.len() - max.max(1);
        let limit = gaps[filled - 1];
        // Of gaps of one size not more than needed.
        let mut ties = filled - gaps.partition_point(|gap| *gap < limit);
        let mut ranges: Vec<(i64, i64)> = Vec::with_capacity(max);
        for &r in &self.ranges {
            let gap = ranges.last().map(|last| r.0 - last.1);
            let fill = gap.is_some_and(|gap| gap < limit || gap == limit && ties > 0);
            ties -= usize::from(fill && gap == Some(limit));
            match ranges.last_mut() {
                Some(last) if fill => last.1 = r.1,
                _ => ranges.push(r),
            }
        }
        Self { ranges }
    }
}

impl FromIterator<i64> for SeqSet {
    fn from_iter<T: IntoIterator<Item = i64>>(iter: T) -> Self {
        let mut set = Self::new();
        iter.into_iter().for_each(|seq| set.insert(seq));
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn behaves_like_a_set_of_numbers() {
        let (mut set, mut model) = (SeqSet::new(), BTreeSet::new());
        let mut x = 7u64;
        for _ in 0..20_000 {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (lo, len) = ((x >> 33) as i64 % 300, (x >> 20) as i64 % 9);
            if x >> 63 == 0 {
                set.insert_range(lo, lo + len);
                model.extend(lo..=lo + len);
            } else {
                set.remove_range(lo, lo + len);
                (lo..=lo + len).for_each(|s| _ = model.remove(&s));
            }
            assert!(set.ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0), "{:?}", set.ranges);
        }
        assert_eq!(
            set.ranges.iter().flat_map(|r| r.0..=r.1).collect::<Vec<_>>(),
            model.into_iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn capping_gives_a_superset_of_few_ranges() {
        let set: SeqSet = [1, 2, 4, 10, 12, 40].into_iter().collect();
        let capped = set.capped(3);
        assert!(capped.ranges().len() <= 3, "{capped:?}");
        assert!([1, 2, 4, 10, 12, 40].iter().all(|s| capped.contains(*s)));
        assert!(!capped.contains(30));
        let even: SeqSet = (0..100).map(|n| 10 * n).collect();
        for max in [1, 64, 99, 100, 101] {
            assert_eq!(even.capped(max).ranges().len(), max.min(100), "gaps of one size");
        }
    }
}
