use std::time::Instant;

/// A range of sequence numbers that were skipped, and may still commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) lo: i64,
    pub(super) hi: i64,
    /// Whoever drew one of the numbers has a transaction id below this.
    pub(super) fence: u64,
    pub(super) born: Instant,
}

/// Holes in ascending order, disjoint.
#[derive(Debug, Default)]
pub(super) struct Holes(Vec<Hole>);

impl Holes {
    /// Adds one above all others.
    pub(super) fn push(&mut self, hole: Hole) {
        debug_assert!(hole.lo <= hole.hi && self.0.last().is_none_or(|last| last.hi < hole.lo));
        self.0.push(hole);
    }

    /// Takes the numbers that were found (ascending) out.
    pub(super) fn cut(&mut self, found: &[i64]) {
        let last = self.0.last().map_or(i64::MIN, |h| h.hi);
        if found.first().is_none_or(|first| *first > last) {
            return;
        }
        let mut left = Vec::with_capacity(self.0.len());
        for hole in self.0.drain(..) {
            let inside = &found[found.partition_point(|x| *x < hole.lo)..found.partition_point(|x| *x <= hole.hi)];
            let mut lo = hole.lo;
            for &seq in inside {
                if lo < seq {
                    left.push(Hole { lo, hi: seq - 1, ..hole });
                }
                lo = seq + 1;
            }
            if lo <= hole.hi {
                left.push(Hole { lo, ..hole });
            }
        }
        self.0 = left;
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Hole) -> bool) {
        self.0.retain(keep);
    }

    pub(super) fn ranges(&self) -> Vec<(i64, i64)> {
        self.0.iter().map(|h| (h.lo, h.hi)).collect()
    }

    pub(super) fn first(&self) -> Option<i64> {
        self.0.first().map(|h| h.lo)
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.0.iter().map(|h| h.born).min()
    }

    pub(super) fn seqs(&self) -> u64 {
        self.0.iter().map(|h| h.hi.abs_diff(h.lo) + 1).sum()
    }
}
