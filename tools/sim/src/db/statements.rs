//! The relay's statements.

use outbox_core::log::Cursor;
use outbox_core::{DeadLetter, ParkedMessage};

use super::tables::visible;
use super::{Db, Incarnation, ParkedRow, Record, RelayRow, Row};

/// What a fenced statement demands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fence {
    pub(crate) epoch: i64,
    pub(crate) token: u128,
}

#[derive(Debug, Clone)]
pub(crate) struct AcquireParams {
    pub(crate) owner: u128,
    pub(crate) token: u128,
    pub(crate) lease: u64,
    /// A full lease has passed since no valid incarnation was seen.
    pub(crate) waited: bool,
    pub(crate) ignore_expiry: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct SettleParams {
    pub(crate) cursor: Cursor,
    pub(crate) done: Vec<i64>,
    pub(crate) parked: Vec<ParkedMessage>,
    pub(crate) dead: Vec<DeadLetter>,
    pub(crate) durable: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) expires_in: u64,
    pub(crate) lease: u64,
    /// Whether there is an incarnation of this server start.
    pub(crate) valid: bool,
    /// The server start and the epoch: where either changed, somebody may have had the lease meanwhile.
    pub(crate) seen: (u32, i64),
}

/// What the takeover scan returned.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) gaps: Vec<(i64, i64)>,
    pub(crate) todo: Vec<(i64, Row)>,
}

impl Db {
    pub(crate) fn ensure(&mut self, now: u64) {
        if self.tables.relay.is_none() {
            let row = RelayRow { owner: None, epoch: 0, expires: 0, lease: 0, cursor: Cursor::default() };
            self.write(now, true, Record::Relay(row));
        }
    }

    fn relay(&self) -> RelayRow {
        let missing = RelayRow { owner: None, epoch: 0, expires: 0, lease: 0, cursor: Cursor::default() };
        self.tables.relay.clone().unwrap_or(missing)
    }

    pub(crate) fn standing(&self, now: u64) -> Standing {
        let relay = self.relay();
        let valid = self.incarnation.is_some_and(|i| i.server == self.server);
        Standing {
            expires_in: relay.expires.saturating_sub(now),
            lease: relay.lease,
            valid,
            seen: (self.server, relay.epoch),
        }
    }

    pub(crate) fn acquire(&mut self, p: &AcquireParams, now: u64) -> Option<(i64, Cursor)> {
        let mut relay = self.relay();
        let free = relay.owner.is_none_or(|owner| owner == p.owner) || relay.expires < now || p.ignore_expiry;
        if !free || !(relay.epoch == 0 || p.waited || self.standing(now).valid) {
            return None;
        }
        relay.epoch += 1;
        (relay.owner, relay.lease, relay.expires) = (Some(p.owner), p.lease, now + p.lease);
        let got = (relay.epoch, relay.cursor.clone());
        self.modify(now, true, Record::Relay(relay));
        self.incarnation = Some(Incarnation { token: p.token, server: self.server });
        Some(got)
    }

    /// A statement that changes rows takes a transaction id.
    fn modify(&mut self, now: u64, sync: bool, record: Record) {
        let xid = self.tables.next_xid;
        self.write(now, false, Record::Xid(xid));
        self.write(now, sync, record);
        self.ended(xid);
    }

    /// Everything in `(floor, position]` that is not settled, in one statement.
    pub(crate) fn scan(&self, cursor: &Cursor) -> Found {
        let (mut gaps, mut todo, mut before) = (Vec::new(), Vec::new(), cursor.floor);
        let above = cursor.floor + 1..(cursor.position + 1).max(cursor.floor + 1);
        for (&seq, row) in self.tables.rows.range(above) {
            if before + 1 < seq {
                gaps.push((before + 1, seq - 1));
            }
            before = seq;
            let open =
                cursor.snapshot.as_deref().is_none_or(|s| !visible(row.xid, s)) || cursor.unsettled.contains(seq);
            let over = self.tables.parked.contains_key(&seq) || self.tables.dead.contains(&(seq, row.message));
            if open && !over {
                todo.push((seq, *row));
            }
        }
        if before < cursor.position {
            gaps.push((before + 1, cursor.position));
        }
        Found { gaps, todo }
    }

    /// The rows of the holes, then those behind `after`, at most `limit` in all.
    pub(crate) fn fetch(&self, after: i64, holes: &[(i64, i64)], limit: usize) -> Vec<(i64, Row)> {
        let holes = holes.iter().flat_map(|(lo, hi)| self.tables.rows.range(*lo..=*hi));
        let range = self.tables.rows.range(after + 1..);
        holes.chain(range).take(limit).map(|(seq, row)| (*seq, *row)).collect()
    }

    pub(crate) fn settle(&mut self, p: &SettleParams, now: u64) {
        let mut relay = self.relay();
        relay.cursor = p.cursor.clone();
        relay.expires = now + relay.lease;
        let park = |p: &ParkedMessage| ParkedRow {
            key: p.key.clone(),
            attempts: p.attempts,
            due: now + p.due_in.as_millis() as u64,
            error: p.last_error.clone(),
        };
        let parked = p.parked.iter().map(|p| (p.seq, park(p))).collect();
        let message = |d: &DeadLetter| self.tables.rows.get(&d.seq).map(|row| (d.seq, row.message));
        let dead = p.dead.iter().filter_map(message).collect();
        self.modify(now, p.durable, Record::Settle { relay, done: p.done.clone(), parked, dead });
    }

    pub(crate) fn release(&mut self, now: u64) {
        let mut relay = self.relay();
        (relay.owner, relay.expires) = (None, 0);
        self.modify(now, false, Record::Relay(relay));
    }

    /// Deletes what is settled; its only copy is elsewhere by then.
    pub(crate) fn delete_settled(&mut self, now: u64, by_position: bool) -> usize {
        let position = self.relay().cursor.position;
        let over = |seq: i64, row: &Row| if by_position { seq <= position } else { self.tables.is_over(seq, row) };
        let seqs: Vec<i64> = self.tables.rows.iter().filter(|(seq, row)| over(**seq, row)).map(|(s, _)| *s).collect();
        let deleted = seqs.len();
        if deleted > 0 {
            self.modify(now, false, Record::Delete(seqs));
        }
        deleted
    }

    /// Whether the lease is the one that counts now.
    pub(crate) fn owns(&self, fence: Fence) -> (bool, bool) {
        let token = self.incarnation == Some(Incarnation { token: fence.token, server: self.server });
        (self.relay().epoch == fence.epoch, token)
    }
}
