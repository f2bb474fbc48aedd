//! What strikes from outside: crashes, failovers, restores, a reset, retention, and what each puts at stake.

use crate::config::Config;
use crate::mutant::Mutant as M;
use crate::state::*;

impl Config {
    /// The process forgets everything; its requests may still arrive.
    pub(crate) fn stop(&self, s: &mut State, r: usize) {
        for m in 0..MAX {
            if s.relays[r].known[m] == Known::Sent {
                s.late |= bit(s.relays[r].msg[m] as usize - 1);
            }
        }
        s.relays[r] = Relay::default();
    }

    /// The database goes on from what is on the disk (the standby, the dump). Relays keep memory and requests until a
    /// statement tells them.
    pub(crate) fn database_fault(&self, s: &mut State) {
        let durable = s.durable;
        let dead = if self.failover { s.db.dead & !durable.db.dead } else { 0 };
        s.undead |= set(s.messages(), |m| has(dead, s.msg[m].seq as usize));
        let mut kept = [false; MAX];
        (0..s.messages())
            .filter(|&m| has(durable.committed, m))
            .for_each(|m| kept[s.msg[m].writer as usize - 1] = true);
        for (w, kept) in s.writers.iter_mut().zip(kept) {
            if w.end == End::Open && (w.xid != 0 || w.locked || w.drawn > 0) {
                *w = Writer { end: End::Aborted, ..Writer::default() };
            } else if w.end == End::Committed && !kept {
                w.end = End::Lost;
            }
        }
        (s.db, s.seqs, s.next_xid, s.token) = (durable.db, durable.seqs, durable.next_xid, 0);
        s.latest = s.next_xid - 1;
        s.rolled_back = true;
        self.expose(s);
    }

    /// A dump is restored into a cluster whose transaction ids begin anew.
    pub(crate) fn restore(&self, s: &mut State) {
        let token = s.durable.token;
        self.database_fault(s);
        s.next_xid = 1;
        s.latest = 0;
        if self.dump_has_token {
            s.token = token;
        }
        s.exposed = Bits::MAX;
    }

    /// The name starts from the first message that is kept. The old holder's token goes; the owner is nobody.
    pub(crate) fn reset(&self, s: &mut State) {
        s.db = Db { epoch: s.db.epoch + 1, dead: s.db.dead, deleted: s.db.deleted, ..Db::default() };
        if s.token != 0 {
            s.tokens += 1;
            s.token = s.tokens;
        }
        // It is a replay: what was dead may be delivered after all, behind what waited for it.
        s.undead |= set(s.messages(), |m| has(s.db.dead, s.msg[m].seq as usize));
        s.reset = true;
        s.exposed = Bits::MAX;
    }

    /// Does the cursor row alone say that message `m` is settled?
    pub(crate) fn settled(&self, s: &State, m: usize, floor: bool) -> bool {
        let (x, db) = (s.msg[m], &s.db);
        let by_cursor = || self.settled_by(x.seq as usize, x.xid, db.snapshot, db.unsettled, db.dead);
        (floor && x.seq < db.floor) || (x.seq < db.position && by_cursor())
    }

    /// A fault strikes: what was handed out and is not durably settled may now be stored twice.
    pub(crate) fn expose(&self, s: &mut State) {
        let mut out = s.late | s.broker;
        for q in &s.relays {
            for x in q.msg.iter().chain(&q.fetched.row).filter(|x| **x != 0) {
                out |= bit(*x as usize - 1);
            }
        }
        let live = s.committed();
        for m in 0..s.messages() {
            let seq = s.msg[m].seq as usize;
            let safe = has(live, m) && self.settled(s, m, true) && !has(s.db.parked, seq);
            if has(out, m) && !safe {
                s.exposed |= bit(m);
            }
        }
    }

    /// The broker stores a message.
    pub(crate) fn store(&self, s: &mut State, m: usize) {
        if has(s.broker, m) {
            s.bad_duplicate |= !has(s.exposed, m);
            return;
        }
        s.broker |= bit(m);
        s.inverted |= !has(s.undead, m) && (m + 1..s.messages()).any(|o| has(s.broker, o) && self.ordered(s, m, o));
    }

    /// Seqs whose rows retention would delete now.
    pub(crate) fn deletable(&self, s: &State) -> Bits {
        let db = &s.db;
        set(s.seqs as usize, |seq| {
            let Some(m) = s.row(seq) else { return false };
            let pinned = has(db.parked, seq) && self.mutant != M::RetentionParked;
            let gone = match self.mutant {
                M::RetentionByPosition => (seq as u8) < db.position,
                M::RetentionNoSnapshot => (seq as u8) < db.position && !has(db.unsettled, seq),
                _ => self.settled(s, m, self.floor_settles),
            };
            gone && !pinned
        })
    }
}
