//! Settling: what a settle carries, what the database does with it, what the reply changes.

use crate::config::Config;
use crate::mutant::Mutant as M;
use crate::state::*;

impl Config {
    /// What a settle sent now would carry (`Log::settle`, `Plan`); `None` when there is nothing to say.
    pub(crate) fn settle_content(&self, s: &State, r: usize) -> Option<Settle> {
        let q = &s.relays[r];
        let mut c = Settle {
            phase: Phase::Sent,
            epoch: q.epoch,
            token: q.token,
            position: q.read.max(q.found),
            snapshot: q.snapshot,
            ..Settle::default()
        };
        if self.own_snapshot && !q.own {
            c.position = q.found;
        }
        let mut open = q.stuck; // handed out, neither settled nor covered by the parked table
        let mut holes: Bits = 0;
        let mut behind = q.parking;
        for m in 0..MAX {
            let fails = |o: usize| has(behind, o) && (in_flight(q.known[o]) || q.known[o] == Known::Parked);
            let waits = (0..m).any(|o| fails(o) && self.same(s, r, o, m));
            if q.known[m] == Known::Ready && waits && self.mutant != M::FailedKeyNotHeld {
                behind |= bit(m);
            }
            match q.known[m] {
                Known::Hole => holes |= bit(m),
                Known::Ready | Known::Parked | Known::Sent | Known::Stored if has(behind, m) => {
                    c.parked |= bit(m) & !q.in_parked;
                }
                Known::Ready | Known::Parked | Known::Sent | Known::Stored => open |= bit(m),
                Known::Delivered => {
                    c.ended |= bit(m);
                    if !self.unparked_settles && has(q.parking & !q.in_parked, m) {
                        open |= bit(m);
                    }
                }
                Known::Dead if self.dead_seen && !has(c.snapshot, s.msg[q.msg[m] as usize - 1].xid as usize) => {
                    open |= bit(m) & !q.in_parked;
                }
                Known::Dead => {
                    c.ended |= bit(m);
                    c.dead |= bit(m);
                }
                Known::Unseen | Known::Settled => {}
            }
        }
        c.unparked = c.ended & q.parking;
        c.unsettled = match self.mutant {
            M::NoUnsettled => 0,
            M::UnsettledLastBatch => open & !below(q.batch),
            M::UnsettledForgotten => open,
            _ => open | q.found_unsettled,
        } & below(c.position);
        if self.capped && c.unsettled != 0 {
            c.unsettled = below(8 - c.unsettled.leading_zeros() as u8) & !below(c.unsettled.trailing_zeros() as u8);
        }
        let kept = open | q.found_unsettled | holes;
        c.floor = match self.mutant {
            M::FloorAtPosition => c.position,
            _ => (kept.trailing_zeros() as u8).min(q.read),
        };
        let db = &s.db;
        let moved =
            (c.position, c.floor, c.snapshot, c.unsettled) != (db.position, db.floor, db.snapshot, db.unsettled);
        (c.ended | c.parked != 0 || moved && s.valid(q.epoch, q.token)).then_some(c)
    }

    pub(crate) fn settle_send(&self, s: &mut State, r: usize) {
        let Some(c) = self.settle_content(s, r) else { return };
        let q = &mut s.relays[r];
        if !self.unparked_settles {
            q.stuck |= c.unparked & !c.dead & !q.in_parked;
        }
        for m in (0..MAX).filter(|&m| has(c.parked, m)) {
            q.parking |= bit(m);
            if q.known[m] == Known::Ready {
                q.known[m] = Known::Parked;
            }
        }
        q.settle = c;
    }

    /// The database runs the statement. Returns what the relay will be told.
    pub(crate) fn exec(&self, s: &mut State, c: Settle) -> Settle {
        let mut told = Settle { phase: Phase::LeaseLost, ..Settle::default() };
        let before = s.db;
        let epoch = c.epoch == s.db.epoch || self.mutant == M::NoEpochCheck;
        let token = c.token == s.token || self.mutant == M::NoTokenCheck;
        let pass = epoch && token;
        if pass || self.mutant == M::ParkOutsideFence {
            s.db.parked = (s.db.parked & !c.unparked) | c.parked;
        }
        if pass {
            (s.db.position, s.db.floor) = (c.position, c.floor);
            (s.db.snapshot, s.db.unsettled) = (c.snapshot, c.unsettled);
            s.db.dead |= c.dead;
            told = Settle { phase: Phase::Done, parked: c.parked, unparked: c.unparked, ended: c.ended, ..told };
            if c.dead != 0 && self.dead_durable && !self.failover {
                s.durable = s.now();
            }
        }
        if s.db != before && !(c.epoch == before.epoch && c.token == s.token) {
            s.zombie_wrote = true;
        }
        told
    }

    pub(crate) fn reply(&self, s: &mut State, r: usize) {
        let c = s.relays[r].settle;
        if c.phase == Phase::LeaseLost {
            return self.stop(s, r);
        }
        let q = &mut s.relays[r];
        for m in (0..MAX).filter(|&m| has(c.ended, m)) {
            if matches!(q.known[m], Known::Delivered | Known::Dead) {
                q.known[m] = Known::Settled;
                q.parking &= !bit(m);
            }
        }
        q.in_parked = (q.in_parked & !c.unparked) | c.parked;
        q.settle = Settle::default();
    }

    /// A drain has ended: nothing is in flight and every outcome is settled. What was handed out and not published
    /// stays unsettled, and the stored cursor may be older than the memory.
    pub(crate) fn may_release(&self, s: &State, r: usize, content: Option<&Settle>) -> bool {
        let q = &s.relays[r];
        let said = content.is_none_or(|c| c.ended | c.parked == 0);
        let quiet = !q.fetched.open && s.valid(q.epoch, q.token);
        let ended = |known: &Known| !in_flight(*known) && !matches!(known, Known::Delivered | Known::Dead);
        said && quiet && q.known.iter().all(ended)
    }
}
