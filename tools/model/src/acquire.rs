//! A takeover: the lease, and the scan of what is not settled up to the position.

use crate::config::Config;
use crate::mutant::Mutant as M;
use crate::state::*;

impl Config {
    /// One statement takes the lease and reads the cursor; the parked messages are read under the same fence.
    pub(crate) fn acquire(&self, s: &mut State, r: usize) {
        if s.holder().is_some() {
            s.budget.zombie -= 1;
            self.expose(s);
        }
        if self.publish_deadline && !self.early(s) {
            s.relays.iter_mut().filter(|o| o.active).for_each(|o| o.expired = true);
        }
        // Whoever else stands by has waited for as long.
        s.waited = s.token == 0 && s.rolled_back && s.budget.database > 0;
        s.db.epoch += 1;
        if s.token == 0 || self.token_per_lease {
            s.tokens += 1;
            s.token = s.tokens;
        }
        s.lease = (s.db.epoch, s.token);
        let ahead = s.db.snapshot >> s.next_xid != 0;
        if self.trust_floor && ahead {
            (s.db.position, s.db.snapshot, s.db.unsettled) = (s.db.floor, 0, 0);
        }
        if self.acquire_durable && !self.failover {
            s.durable = s.now();
        }
        (s.rolled_back, s.reset) = (false, false);
        let db = s.db;
        let mut q = Relay {
            active: true,
            epoch: db.epoch,
            token: s.token,
            scanned: !self.whole_scan || self.mutant == M::ScanAbovePosition,
            read: if self.mutant == M::ScanAbovePosition { db.position } else { db.floor },
            found: db.position,
            found_unsettled: db.unsettled,
            snapshot: db.snapshot,
            parking: db.parked,
            in_parked: db.parked,
            ..Relay::default()
        };
        if self.mutant == M::FenceEarly {
            q.early = s.next_xid;
        }
        for m in 0..MAX {
            if has(db.parked, m) {
                q.known[m] = if self.mutant == M::ParkedKeyForgotten { Known::Settled } else { Known::Parked };
                q.msg[m] = s.row(m).map_or(0, |x| x as u8 + 1);
            } else if (m as u8) < q.read {
                q.known[m] = Known::Settled;
            }
        }
        s.relays[r] = q;
    }

    /// `Log::take_over`: everything in (floor, position] that is not settled counts as handed out from now on, what has
    /// no row is a hole, and the snapshot to store is that of the scan. Nothing is settled before it.
    pub(crate) fn scan(&self, s: &mut State, r: usize) {
        let q = s.relays[r];
        if self.scan_fenced && !self.fetch_valid(s, &q) {
            return self.stop(s, r);
        }
        let mut f = self.header(s, &q);
        (f.all_holes, f.looked_at, f.read) = (true, q.read, q.found);
        for m in q.read as usize..q.found as usize {
            let Some(x) = s.row(m) else { continue };
            // What was read from the parked table is left out, whatever its state.
            if q.known[m] != Known::Unseen {
                continue;
            }
            if self.settled_by(m, s.msg[x].xid, q.snapshot, q.found_unsettled, s.db.dead) {
                f.settled |= bit(m);
            } else {
                f.row[m] = x as u8 + 1;
            }
        }
        self.note(s, r, f);
        s.relays[r].scanned = true;
    }

    /// settled(row), for a seq up to the position.
    pub(crate) fn settled_by(&self, m: usize, xid: u8, snapshot: Bits, unsettled: Bits, dead: Bits) -> bool {
        let visible = self.mutant == M::NoSnapshot || has(snapshot, xid as usize);
        (self.scan_skips_dead && has(dead, m)) || (!has(unsettled, m) && visible)
    }
}
