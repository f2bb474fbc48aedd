//! What a reader of a log knows and decides, without I/O: which sequence numbers it skipped and still has to ask for,
//! what it handed out, and the cursor that a successor can go on from. Used by stores whose messages are never changed.
//!
//! On a database that commits sequence numbers out of order, a number that was skipped is a **hole**: its transaction
//! may still commit. Every fetch asks for every hole again, in one statement and so in one snapshot with the range
//! behind them. A hole dies when no transaction that could have drawn its number is left: when a later fetch whose
//! snapshot has `xmin >= fence` still lacks it, or when the oldest transaction that writes to the table is not older
//! than the fence. The fence is the next transaction id at the time the hole was seen.
//!
//! ```text
//! settled(row)  <=>  seq <= floor
//!                or  seq <= position and visible(row, snapshot) and not seq in unsettled
//! ```

mod handed;
mod holes;
mod snapshot;

use std::time::{Duration, Instant};

use handed::Handed;
use holes::{Hole, Holes};
pub use snapshot::{Snapshot, SnapshotError};

use crate::{SeqSet, Settlement};

/// A hole that is older asks who still writes to the table.
const OLD: Duration = Duration::from_secs(1);
/// How many ranges of unsettled messages a cursor keeps at most: more makes the settlement slow.
const MAX_RANGES: usize = 64;

/// What is kept of a relay in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The highest sequence number handed out.
    pub position: i64,
    /// Everything up to here is settled.
    pub floor: i64,
    /// That of the latest fetch that asked for every hole. `None` on a database without snapshots.
    pub snapshot: Option<String>,
    /// Handed out and not settled; may be a superset.
    pub unsettled: SeqSet,
}

/// What the next fetch has to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The range begins behind this sequence number.
    pub after: i64,
    /// Ranges that were skipped, inclusive at both ends, ascending.
    pub holes: Vec<(i64, i64)>,
    /// Whether to ask first, in a statement of its own, for the oldest transaction that writes to the table.
    pub ask_writers: bool,
}

impl Probe {
    /// How many sequence numbers lie in the holes.
    pub fn hole_seqs(&self) -> u64 {
        self.holes.iter().map(|(lo, hi)| hi.abs_diff(*lo) + 1).sum()
    }
}

/// The answer to a [`Probe`].
#[derive(Debug, Clone, Default)]
pub struct Fetched<'a> {
    /// That of the fetching statement; `None` on a database that commits in order of sequence numbers.
    pub snapshot: Option<Snapshot>,
    /// The oldest transaction that writes to the table (`u64::MAX`: none), seen before the fetch; `None`: not asked.
    pub oldest_writer: Option<u64>,
    /// Every sequence number that was found, ascending.
    pub found: &'a [i64],
    /// How many rows the statement could return at most.
    pub limit: usize,
}

/// What a takeover found in `(floor, position]`, in one statement.
#[derive(Debug, Clone, Default)]
pub struct Scan<'a> {
    /// That of the statement.
    pub snapshot: Option<Snapshot>,
    /// Ranges without a row.
    pub gaps: &'a [(i64, i64)],
    /// Rows that are not settled and not parked.
    pub todo: &'a [i64],
}

/// The reader's memory under one lease. Dropped with the lease: it must never outlive the database it describes.
#[derive(Debug)]
pub struct Log {
    read: i64,
    floor: i64,
    holes: Holes,
    unsettled: SeqSet,
    snapshot: Option<String>,
    handed: Handed,
    /// As of the latest settlement.
    repeats: u64,
}

impl Log {
    /// After a takeover. All of `scan.todo` counts as handed out from now on.
    pub fn take_over(found: &Cursor, scan: &Scan<'_>, now: Instant) -> Self {
        let mut holes = Holes::default();
        if let Some(snapshot) = &scan.snapshot {
            let hole = |&(lo, hi): &(i64, i64)| Hole { lo, hi, fence: snapshot.next_xid(), born: now };
            scan.gaps.iter().map(hole).for_each(|h| holes.push(h));
        }
        // What is there counts as handed out: settled or not, a crash may repeat it.
        let missing: u64 = scan.gaps.iter().map(|(lo, hi)| hi.abs_diff(*lo) + 1).sum();
        let mut handed = Handed::above(found.floor);
        handed.add(found.position, found.position.abs_diff(found.floor).saturating_sub(missing));
        Self {
            read: found.position,
            floor: found.floor,
            holes,
            unsettled: scan.todo.iter().copied().collect(),
            snapshot: scan.snapshot.as_ref().map(|s| s.as_str().to_owned()),
            handed,
            repeats: 0,
        }
    }

    /// What to ask for next.
    pub fn probe(&self, now: Instant) -> Probe {
        let ask_writers = self.holes.oldest().is_some_and(|born| now.saturating_duration_since(born) > OLD);
        Probe { after: self.read, holes: self.holes.ranges(), ask_writers }
    }

    /// Takes in the answer to the latest [`probe`](Self::probe). What of it is handed out is said by
    /// [`handed_out`](Self::handed_out); the rest counts as settled.
    pub fn fetched(&mut self, answer: &Fetched<'_>, now: Instant) {
        let found = answer.found;
        self.holes.cut(found);
        // Where the limit cut inside the holes, nothing above the last row was looked at.
        let cut = found.len() >= answer.limit && found.last().is_some_and(|last| *last <= self.read);
        let looked_at = if cut { found.last().copied().unwrap_or_default() } else { i64::MAX };
        if let Some(snapshot) = &answer.snapshot {
            let gone =
                |h: &Hole| snapshot.xmin() >= h.fence || answer.oldest_writer.is_some_and(|oldest| h.fence <= oldest);
            self.holes.retain(|h| h.hi > looked_at || !gone(h));
        }
        for &seq in &found[found.partition_point(|seq| *seq <= self.read)..] {
            if let Some(snapshot) = answer.snapshot.as_ref().filter(|_| self.read + 1 < seq) {
                self.holes.push(Hole { lo: self.read + 1, hi: seq - 1, fence: snapshot.next_xid(), born: now });
            }
            self.read = seq;
        }
        if let Some(snapshot) = answer.snapshot.as_ref().filter(|_| !cut) {
            self.snapshot = Some(snapshot.as_str().to_owned());
        }
    }

    /// These go to the relay now.
    pub fn handed_out(&mut self, seqs: impl IntoIterator<Item = i64>) {
        let mut count = 0;
        for seq in seqs {
            self.unsettled.insert(seq);
            count += 1;
        }
        self.handed.add(self.read, count);
    }

    /// The cursor to store with this settlement.
    pub fn settle(&mut self, settlement: &Settlement) -> Cursor {
        self.unsettled.remove_all(&settlement.delivered);
        let others = settlement.parked.iter().map(|p| p.seq).chain(settlement.dead.iter().map(|d| d.seq));
        // Delivered by a retry that was quicker than the settlement that would have parked it.
        others.chain(settlement.unparked.iter().copied()).for_each(|seq| self.unsettled.remove_range(seq, seq));
        let lowest = [self.holes.first(), self.unsettled.first(), Some(self.read + 1)].into_iter().flatten().min();
        self.floor = self.floor.max(lowest.unwrap_or_default() - 1);
        self.handed.forget(self.settled_through());
        let unsettled = self.unsettled.capped(MAX_RANGES);
        let covered: u64 = unsettled.ranges().iter().map(|(lo, hi)| self.handed.within(*lo, *hi)).sum();
        let exact = unsettled.ranges().len() == self.unsettled.ranges().len();
        self.repeats = if exact { 0 } else { covered.saturating_sub(self.unsettled.len()) };
        Cursor { unsettled, ..self.cursor() }
    }

    /// About how many messages that are settled a successor would be handed out again, with the cursor of the latest
    /// [`settle`](Self::settle): those between ranges that it has as one.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// The cursor as it is, with every range: to be stored with a release.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            position: self.read,
            floor: self.floor,
            snapshot: self.snapshot.clone(),
            unsettled: self.unsettled.clone(),
        }
    }

    /// Everything handed out up to here is settled; holes are not counted.
    pub fn settled_through(&self) -> i64 {
        self.unsettled.first().map_or(self.read, |first| first - 1)
    }

    /// The highest sequence number handed out.
    pub fn position(&self) -> i64 {
        self.read
    }

    /// How many sequence numbers are holes.
    pub fn hole_seqs(&self) -> u64 {
        self.holes.seqs()
    }
}

#[cfg(test)]
mod tests;
