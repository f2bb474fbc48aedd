//! The write-ahead log: what a crash or a failover goes back to.

use super::tables::{ParkedRow, RelayRow, Row, Tables};

/// A commit that nobody waits for is on the disk after this time.
const FLUSH: u64 = 600;

#[derive(Debug, Clone)]
pub(crate) enum Record {
    Xid(u64),
    Seq(i64),
    Commit(Vec<(i64, Row)>),
    Relay(RelayRow),
    Settle { relay: RelayRow, done: Vec<i64>, parked: Vec<(i64, ParkedRow)>, dead: Vec<(i64, u32)> },
    Delete(Vec<i64>),
}

#[derive(Debug, Default)]
pub(super) struct Wal {
    records: Vec<(u64, Record)>,
    /// Everything before was waited for.
    synced: usize,
}

/// What the database does not know any more.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    pub(crate) messages: Vec<u32>,
    pub(crate) dead: Vec<u32>,
}

impl Lost {
    pub(super) fn between(before: &Tables, after: &Tables) -> Self {
        Self {
            messages: before.committed.difference(&after.committed).copied().collect(),
            dead: before.dead.difference(&after.dead).map(|(_, message)| *message).collect(),
        }
    }
}

impl Wal {
    pub(super) fn append(&mut self, now: u64, sync: bool, record: Record) {
        self.records.push((now, record));
        if sync {
            self.synced = self.records.len();
        }
    }

    /// The first record that a crash may lose.
    pub(super) fn flushed(&self, now: u64) -> usize {
        self.synced.max(self.since(now.saturating_sub(FLUSH)))
    }

    /// The first record after `at`.
    pub(super) fn since(&self, at: u64) -> usize {
        self.records.partition_point(|(written, _)| *written <= at)
    }

    /// The first record after the first acquisition. A failover that forgets even that cannot be told from a name that
    /// was never held, and for that nobody waits: a limit of the protocol in the first moments of a name.
    pub(super) fn held(&self) -> usize {
        let first = self.records.iter().position(|(_, r)| matches!(r, Record::Relay(relay) if relay.epoch > 0));
        first.map_or(0, |at| at + 1)
    }

    /// Keeps everything before `from`, and `keep` percent of the rest.
    pub(super) fn cut(&mut self, from: usize, keep: u64) {
        let rest = self.records.len() - from;
        self.records.truncate(from + rest * keep as usize / 100);
        self.synced = self.records.len();
    }

    pub(super) fn replay(&self) -> Tables {
        let mut tables = Tables { next_seq: 1, next_xid: 700, ..Tables::default() };
        self.records.iter().for_each(|(_, record)| tables.apply(record));
        tables
    }
}
