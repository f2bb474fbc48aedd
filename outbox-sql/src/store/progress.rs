/// At least this long between two progress rows of a relay, in microseconds.
const INTERVAL: i64 = 1_000_000;

/// When everything up to a position was settled, to be written with a later settlement: at most one row a second.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pending: Option<(i64, i64)>,
    written: (i64, i64),
}

impl Progress {
    /// The row to write now. `moving`: more settlements follow soon.
    pub(super) fn due(&self, moving: bool) -> Option<(i64, i64)> {
        let (position, at) = self.pending?;
        let (last_position, last_at) = self.written;
        let fresh = position > last_position && (!moving || at - last_at >= INTERVAL);
        fresh.then_some((position, at))
    }

    /// The settlement that wrote it was confirmed.
    pub(super) fn wrote(&mut self, row: Option<(i64, i64)>) {
        if let Some(row) = row {
            self.written = row;
        }
    }

    /// Everything up to `position` was settled at `at`.
    pub(super) fn settled(&mut self, position: i64, at: i64) {
        if self.pending.is_none_or(|(before, _)| before < position) {
            self.pending = Some((position, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_a_second_while_moving_and_the_last_one_when_idle() {
        let mut p = Progress::default();
        p.settled(5, 10_000_000);
        assert_eq!(p.due(true), Some((5, 10_000_000)));
        p.wrote(Some((5, 10_000_000)));
        assert_eq!(p.due(false), None);
        p.settled(6, 10_100_000);
        assert_eq!(p.due(true), None, "within the second");
        assert_eq!(p.due(false), Some((6, 10_100_000)), "nothing follows");
        p.settled(6, 10_200_000);
        assert_eq!(p.due(false), Some((6, 10_100_000)), "the time of the first settlement that got there");
        p.settled(9, 11_000_000);
        assert_eq!(p.due(true), Some((9, 11_000_000)));
    }
}
