//! The database: what Postgres does, as far as the relay can tell. Every method is one atomic step.

mod statements;
mod tables;
mod wal;

use std::collections::BTreeMap;

use outbox_core::log::{Snapshot, SnapshotError};

pub(crate) use statements::{AcquireParams, Fence, SettleParams, Standing};
pub(crate) use tables::{ParkedRow, RelayRow, Row, Tables, visible};
use wal::Wal;
pub(crate) use wal::{Lost, Record};

#[derive(Debug)]
pub(crate) struct Db {
    pub(crate) tables: Tables,
    /// The unlogged table: emptied by every crash.
    pub(crate) incarnation: Option<Incarnation>,
    /// Rises with every start.
    pub(crate) server: u32,
    pub(crate) up: bool,
    open: BTreeMap<u32, Open>,
    /// Transaction ids that are in progress.
    running: BTreeMap<u64, u32>,
    latest_completed: u64,
    wal: Wal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incarnation {
    pub(crate) token: u128,
    pub(crate) server: u32,
}

/// A transaction of an application.
#[derive(Debug, Default)]
struct Open {
    xid: Option<u64>,
    /// It has written to the outbox, and so holds the lock of writers.
    writes: bool,
    rows: Vec<(i64, u32, Option<u8>)>,
}

/// The transaction is gone: the server crashed under it.
#[derive(Debug)]
pub(crate) struct Gone;

impl Db {
    pub(crate) fn new() -> Self {
        Self {
            tables: Tables { next_seq: 1, next_xid: 700, ..Tables::default() },
            incarnation: None,
            server: 1,
            up: true,
            open: BTreeMap::new(),
            running: BTreeMap::new(),
            latest_completed: 699,
            wal: Wal::default(),
        }
    }

    pub(crate) fn begin(&mut self, tx: u32) {
        self.open.insert(tx, Open::default());
    }

    /// It locks the table against all but other writers, before it owns an id or a number.
    pub(crate) fn lock_table(&mut self, tx: u32) -> Result<(), Gone> {
        self.open.get_mut(&tx).ok_or(Gone)?.writes = true;
        Ok(())
    }

    /// The transaction's id; assigned at the first call.
    pub(crate) fn assign_xid(&mut self, tx: u32, now: u64) -> Result<u64, Gone> {
        let open = self.open.get_mut(&tx).ok_or(Gone)?;
        if let Some(xid) = open.xid {
            return Ok(xid);
        }
        let xid = self.tables.next_xid;
        open.xid = Some(xid);
        self.running.insert(xid, tx);
        self.write(now, false, Record::Xid(xid));
        Ok(xid)
    }

    pub(crate) fn draw_seq(&mut self, tx: u32, now: u64) -> Result<i64, Gone> {
        self.open.get(&tx).ok_or(Gone)?;
        let seq = self.tables.next_seq;
        self.write(now, false, Record::Seq(seq));
        Ok(seq)
    }

    pub(crate) fn insert(&mut self, tx: u32, seq: i64, message: u32, key: Option<u8>) -> Result<(), Gone> {
        self.open.get_mut(&tx).ok_or(Gone)?.rows.push((seq, message, key));
        Ok(())
    }

    /// Gives the messages that exist from now on.
    pub(crate) fn commit(&mut self, tx: u32, now: u64) -> Result<Vec<u32>, Gone> {
        let open = self.open.remove(&tx).ok_or(Gone)?;
        let Some(xid) = open.xid else { return Ok(Vec::new()) };
        let messages = open.rows.iter().map(|row| row.1).collect();
        let rows = open.rows.into_iter().map(|(seq, message, key)| (seq, Row { message, key, xid })).collect();
        self.write(now, true, Record::Commit(rows));
        self.ended(xid);
        Ok(messages)
    }

    pub(crate) fn abort(&mut self, tx: u32) {
        if let Some(xid) = self.open.remove(&tx).and_then(|open| open.xid) {
            self.ended(xid);
        }
    }

    fn ended(&mut self, xid: u64) {
        self.running.remove(&xid);
        self.latest_completed = self.latest_completed.max(xid);
    }

    /// `pg_current_snapshot()`.
    pub(crate) fn snapshot_text(&self) -> String {
        let xmax = self.latest_completed + 1;
        let running: Vec<String> = self.running.range(..xmax).map(|(xid, _)| xid.to_string()).collect();
        let xmin = self.running.range(..xmax).next().map_or(xmax, |(xid, _)| *xid);
        format!("{xmin}:{xmax}:{}", running.join(","))
    }

    /// `age('3'::xid)`.
    pub(crate) fn age(&self) -> i64 {
        self.tables.next_xid.cast_signed() - 3
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, SnapshotError> {
        Snapshot::new(&self.snapshot_text(), self.age())
    }

    pub(crate) fn latest_completed(&self) -> u64 {
        self.latest_completed
    }

    /// The oldest transaction among those that write to the outbox.
    pub(crate) fn oldest_writer(&self) -> u64 {
        self.open.values().filter(|open| open.writes).filter_map(|open| open.xid).min().unwrap_or(u64::MAX)
    }

    fn write(&mut self, now: u64, sync: bool, record: Record) {
        self.tables.apply(&record);
        self.wal.append(now, sync, record);
    }

    /// The server stops; what it will start with is decided.
    pub(crate) fn crash(&mut self, now: u64, keep: u64, skip: bool) -> Lost {
        let from = self.wal.flushed(now);
        self.go_back(from, keep, skip)
    }

    /// A standby that is up to `lag` behind will take over.
    pub(crate) fn fail_over(&mut self, now: u64, lag: u64, keep: u64, skip: bool) -> Lost {
        let from = self.wal.since(now.saturating_sub(lag)).max(self.wal.held());
        self.go_back(from, keep, skip)
    }

    pub(crate) fn start(&mut self) {
        self.up = true;
    }

    fn go_back(&mut self, from: usize, keep: u64, skip: bool) -> Lost {
        let before = std::mem::take(&mut self.tables);
        self.wal.cut(from, keep);
        self.tables = self.wal.replay();
        if skip {
            self.tables.next_seq += 32;
        }
        self.open.clear();
        self.running.clear();
        self.latest_completed = self.tables.next_xid - 1;
        self.incarnation = None;
        self.server += 1;
        self.up = false;
        Lost::between(&before, &self.tables)
    }
}
