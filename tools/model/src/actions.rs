//! The actions, and which of them a state allows. An action is one atomic event: a statement, a message stored, an
//! answer received, a fault.

use crate::config::{After, Config};
use crate::mutant::Mutant as M;
use crate::state::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The writer's transaction id is assigned (it took the table's write lock just before).
    Xid(usize),
    /// The writer takes the row lock of its key.
    Lock(usize),
    Seq(usize),
    Commit(usize),
    Abort(usize),
    /// The lease: epoch + 1, a token, and the cursor and the parked messages are read.
    Acquire(usize),
    /// The takeover scan.
    Scan(usize),
    /// A fetch that probes the live holes runs (and is noted, unless fetches are split).
    Fetch(usize),
    /// A fetch that probes no hole.
    FetchUnprobed(usize),
    FetchReply(usize),
    /// Which is the oldest transaction that writes to the table?
    Writers(usize),
    Publish(usize, usize),
    BrokerStores(usize, usize),
    Delivered(usize, usize),
    Refused(usize, usize),
    Unknown(usize, usize),
    Rejected(usize, usize),
    SettleSend(usize),
    SettleExec(usize),
    SettleReply(usize),
    ReplyLost(usize),
    OrphanExec,
    Release(usize),
    Reset,
    Crash(usize),
    /// A crash of the database, or a failover.
    DatabaseFault,
    Restore,
    /// The write-ahead log reaches the disk (the standby, the dump).
    Flush,
    Retention,
    LateArrives(usize),
    /// A late request is gone for good (matters only to rules that wait for it).
    LateGone(usize),
    /// Mutant: a parked message is read again.
    Due(usize, usize),
}

impl Config {
    fn same_key(&self, s: &State, a: usize, b: usize) -> bool {
        let key = |m: usize| self.writers[s.msg[m].writer as usize - 1].key;
        key(a) != 0 && key(a) == key(b)
    }

    /// Must the first occurrence of `a` come before that of `b` (a < b)?
    pub(crate) fn ordered(&self, s: &State, a: usize, b: usize) -> bool {
        let (x, y) = (s.msg[a].writer as usize - 1, s.msg[b].writer as usize - 1);
        self.same_key(s, a, b) && (x == y || (self.writers[x].serial && self.writers[y].serial))
    }

    /// Do the messages that relay `r` has read at two seqs have one key?
    pub(crate) fn same(&self, s: &State, r: usize, a: usize, b: usize) -> bool {
        let (a, b) = (s.relays[r].msg[a], s.relays[r].msg[b]);
        a != 0 && b != 0 && self.same_key(s, a as usize - 1, b as usize - 1)
    }

    /// May relay `r` send what it read at seq `m` now?
    fn may_publish(&self, s: &State, r: usize, m: usize) -> bool {
        let q = &s.relays[r];
        if q.expired || !matches!(q.known[m], Known::Ready | Known::Parked) || has(q.held, m) {
            return false;
        }
        let held_by_dead = self.dead_holds_key && (self.dead_holds_parked || q.known[m] != Known::Parked);
        (0..MAX).filter(|&o| o != m && self.same(s, r, o, m)).all(|o| match q.known[o] {
            Known::Sent | Known::Stored if has(q.parking, o) && self.mutant == M::FailedKeyNotHeld => true,
            Known::Sent | Known::Stored => self.mutant == M::TwoInFlight && o < m,
            Known::Parked if self.mutant == M::FailedKeyNotHeld => true,
            Known::Ready | Known::Parked => o > m,
            Known::Dead => o > m || !held_by_dead,
            _ => true,
        })
    }

    /// A takeover may come before the old holder's lease ends.
    pub(crate) fn early(&self, s: &State) -> bool {
        let stale = s.waited && !self.wait_restarts;
        let first = s.db.epoch == 0 && !self.first_waits;
        (s.rolled_back && (!self.tokenless_waits || stale || first)) || (s.reset && !self.reset_waits)
    }

    pub(crate) fn all_actions(&self, s: &State, out: &mut Vec<Act>) {
        let fault_to_come = s.budget.database > 0 || s.budget.restore > 0;
        for w in 0..self.writers.len() {
            self.writer_actions(s, w, out);
        }
        for r in 0..RELAYS {
            self.relay_actions(s, r, out);
        }
        for m in (0..s.messages()).filter(|&m| has(s.late, m)) {
            out.push(Act::LateArrives(m));
            if self.publish_deadline || self.dead_waits {
                out.push(Act::LateGone(m));
            }
        }
        if s.orphan.phase == Phase::Sent {
            out.push(Act::OrphanExec);
        }
        if s.budget.reset > 0 && s.db.epoch > 0 {
            out.push(Act::Reset);
        }
        if s.budget.database > 0 {
            out.push(Act::DatabaseFault);
        }
        if s.budget.restore > 0 {
            out.push(Act::Restore);
        }
        if fault_to_come && s.durable != s.now() {
            out.push(Act::Flush);
        }
        if self.retention && self.deletable(s) != 0 {
            out.push(Act::Retention);
        }
    }

    fn writer_actions(&self, s: &State, i: usize, out: &mut Vec<Act>) {
        let (c, w) = (&self.writers[i], &s.writers[i]);
        let not_yet = match c.after {
            After::Start => false,
            After::DatabaseFault => {
                (s.budget.database, s.budget.restore) == (self.budget.database, self.budget.restore)
            }
            After::Crash => s.budget.crash == self.budget.crash,
        };
        if w.end != End::Open || not_yet {
            return;
        }
        let seq_first = self.mutant == M::XidAfterSeq;
        if w.xid == 0 && (!seq_first || w.drawn > 0) {
            out.push(Act::Xid(i));
        }
        let free = !(0..self.writers.len()).any(|o| s.writers[o].locked && self.writers[o].key == c.key);
        if c.serial && !w.locked && free {
            out.push(Act::Lock(i));
        }
        if w.drawn < c.rows && (w.xid != 0 || seq_first) && (!c.serial || w.locked) {
            out.push(Act::Seq(i));
        }
        if w.drawn == c.rows && w.xid != 0 && !c.aborts {
            out.push(Act::Commit(i));
        }
        if w.drawn > 0 {
            out.push(Act::Abort(i));
        }
    }

    fn relay_actions(&self, s: &State, r: usize, out: &mut Vec<Act>) {
        let q = &s.relays[r];
        if !q.active {
            let flying = s.relays.iter().any(|o| o.active && o.known.iter().any(|&x| in_flight(x)));
            let at_rest = !self.publish_deadline || self.early(s) || (s.late == 0 && !flying);
            // Idle processes are alike: the first one goes first.
            let first = r == 0 || s.relays[0].active;
            if at_rest && first && (s.holder().is_none() || s.budget.zombie > 0) {
                out.push(Act::Acquire(r));
            }
            return;
        }
        if s.budget.crash > 0 {
            out.push(Act::Crash(r));
        }
        if !q.scanned {
            return out.push(Act::Scan(r));
        }
        if q.fetched.open {
            out.push(Act::FetchReply(r));
        } else {
            out.push(Act::Fetch(r));
            if self.unprobed {
                out.push(Act::FetchUnprobed(r));
            }
            if self.may_ask(s, r) {
                out.push(Act::Writers(r));
            }
        }
        for m in 0..MAX {
            if self.may_publish(s, r, m) {
                out.push(Act::Publish(r, m));
            }
            self.publish_actions(s, r, m, out);
        }
        match q.settle.phase {
            Phase::None => {
                let content = self.settle_content(s, r);
                if s.budget.release > 0 && self.may_release(s, r, content.as_ref()) {
                    out.push(Act::Release(r));
                }
                if content.is_some() {
                    out.push(Act::SettleSend(r));
                }
            }
            Phase::Sent => out.push(Act::SettleExec(r)),
            _ => out.push(Act::SettleReply(r)),
        }
        if q.settle.phase != Phase::None && s.budget.lost_reply > 0 && s.orphan.phase == Phase::None {
            out.push(Act::ReplyLost(r));
        }
    }

    /// How the publish of one message may end.
    fn publish_actions(&self, s: &State, r: usize, m: usize, out: &mut Vec<Act>) {
        let q = &s.relays[r];
        match q.known[m] {
            Known::Sent => {
                out.push(Act::BrokerStores(r, m));
                if s.budget.refused > 0 {
                    out.push(Act::Refused(r, m));
                }
                if s.budget.unknown > 0 {
                    out.push(Act::Unknown(r, m));
                }
                if s.budget.rejected > 0 && !(self.dead_waits && has(s.late, q.msg[m] as usize - 1)) {
                    out.push(Act::Rejected(r, m));
                }
            }
            Known::Stored => {
                out.push(Act::Delivered(r, m));
                if s.budget.unknown > 0 {
                    out.push(Act::Unknown(r, m));
                }
            }
            Known::Settled if self.mutant == M::ParkedKeyForgotten && has(q.in_parked, m) => out.push(Act::Due(r, m)),
            _ => {}
        }
    }
}
