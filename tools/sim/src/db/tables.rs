//! The tables, and how a record of the write-ahead log changes them.

use std::collections::{BTreeMap, BTreeSet};

use outbox_core::log::Cursor;

use super::Record;

#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    pub(crate) rows: BTreeMap<i64, Row>,
    /// Every message that was ever committed, also one that retention deleted.
    pub(crate) committed: BTreeSet<u32>,
    pub(crate) next_seq: i64,
    pub(crate) next_xid: u64,
    pub(crate) relay: Option<RelayRow>,
    pub(crate) parked: BTreeMap<i64, ParkedRow>,
    /// By sequence number and message.
    pub(crate) dead: BTreeSet<(i64, u32)>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) message: u32,
    pub(crate) key: Option<u8>,
    pub(crate) xid: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct RelayRow {
    pub(crate) owner: Option<u128>,
    pub(crate) epoch: i64,
    pub(crate) expires: u64,
    pub(crate) lease: u64,
    pub(crate) cursor: Cursor,
}

#[derive(Debug, Clone)]
pub(crate) struct ParkedRow {
    pub(crate) key: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) due: u64,
    pub(crate) error: Option<String>,
}

impl Tables {
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Xid(xid) => self.next_xid = self.next_xid.max(xid + 1),
            Record::Seq(seq) => self.next_seq = self.next_seq.max(seq + 1),
            Record::Commit(rows) => {
                self.committed.extend(rows.iter().map(|(_, row)| row.message));
                self.rows.extend(rows.iter().copied());
            }
            Record::Relay(relay) => self.relay = Some(relay.clone()),
            Record::Settle { relay, done, parked, dead } => {
                self.relay = Some(relay.clone());
                done.iter().for_each(|seq| _ = self.parked.remove(seq));
                self.parked.extend(parked.iter().cloned());
                self.dead.extend(dead.iter().copied());
            }
            Record::Delete(seqs) => seqs.iter().for_each(|seq| _ = self.rows.remove(seq)),
        }
    }

    /// `settled(row)`, by the cursor alone.
    pub(crate) fn settled(&self, seq: i64, row: &Row) -> bool {
        let Some(cursor) = self.relay.as_ref().map(|r| &r.cursor) else { return false };
        seq <= cursor.floor
            || seq <= cursor.position
                && cursor.snapshot.as_deref().is_some_and(|s| visible(row.xid, s))
                && !cursor.unsettled.contains(seq)
    }

    /// Nothing more is to be done about the row.
    pub(crate) fn is_over(&self, seq: i64, row: &Row) -> bool {
        self.settled(seq, row) && !self.parked.contains_key(&seq)
    }
}

/// `pg_visible_in_snapshot`.
pub(crate) fn visible(xid: u64, snapshot: &str) -> bool {
    let mut parts = snapshot.splitn(3, ':');
    let mut number = || parts.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let (xmin, xmax) = (number(), number());
    let running = parts.next().unwrap_or_default();
    xid < xmin || xid < xmax && !running.split(',').any(|x| x.parse() == Ok(xid))
}
