//! Reading: the one statement of a fetch, what the relay notes of it, and the list of writers.

use crate::config::Config;
use crate::mutant::Mutant as M;
use crate::state::*;

impl Config {
    /// Does a fetch find that the lease is its own?
    pub(crate) fn fetch_valid(&self, s: &State, q: &Relay) -> bool {
        match self.mutant {
            M::FetchUnchecked => true,
            M::FetchNoToken | M::NoTokenCheck => q.epoch == s.db.epoch,
            M::NoEpochCheck => q.token == s.token,
            _ => s.valid(q.epoch, q.token),
        }
    }

    /// The snapshot of a statement and the next transaction id.
    pub(crate) fn header(&self, s: &State, q: &Relay) -> Fetched {
        Fetched {
            open: true,
            snapshot: s.snapshot(),
            xmin: s.xmin(),
            next_xid: match self.mutant {
                M::FenceXmax => s.latest + 1,
                M::FenceEarly => q.early,
                _ => s.next_xid,
            },
            ..Fetched::default()
        }
    }

    /// What the statement returns: one snapshot for the header, the holes and the range. One limit covers both.
    pub(crate) fn fetch(&self, s: &State, r: usize, probe: bool) -> Fetched {
        let q = &s.relays[r];
        if !self.fetch_valid(s, q) {
            return Fetched { open: true, lease_lost: true, ..Fetched::default() };
        }
        let mut f = Fetched { oldest_writer: q.oldest_writer, read: q.read, ..self.header(s, q) };
        (f.all_holes, f.looked_at) = if probe { (true, q.read) } else { (false, 0) };
        let mut rows = 0;
        for m in (0..q.read as usize).filter(|&m| probe && q.known[m] == Known::Hole) {
            let Some(x) = s.row(m) else { continue };
            f.row[m] = x as u8 + 1;
            rows += 1;
            if rows == self.limit {
                // Cut inside the holes: nothing above this row was looked at.
                (f.all_holes, f.looked_at) = (false, m as u8 + 1);
                return f;
            }
        }
        for m in q.read as usize..s.seqs as usize {
            let Some(x) = s.row(m) else { continue };
            if q.known[m] != Known::Unseen {
                continue;
            }
            // Only where a takeover scans in pieces.
            if (m as u8) < q.found && self.settled_by(m, s.msg[x].xid, q.snapshot, q.found_unsettled, s.db.dead) {
                f.settled |= bit(m);
                continue;
            }
            if rows == self.limit {
                return f;
            }
            f.read = m as u8 + 1;
            f.row[m] = x as u8 + 1;
            rows += 1;
        }
        f.read = f.read.max(q.found);
        f
    }

    /// `Log::fetched` and `Log::handed_out`, or `Log::take_over`.
    pub(crate) fn note(&self, s: &mut State, r: usize, f: Fetched) {
        s.relays[r].fetched = Fetched::default();
        if f.lease_lost {
            return self.stop(s, r);
        }
        let oldest_writer = match self.mutant {
            M::WritersAfterFetch => self.oldest_writer(s),
            _ => f.oldest_writer,
        };
        let q = &mut s.relays[r];
        if self.mutant != M::WritersBeforeRead {
            q.oldest_writer = 0;
        }
        for m in 0..q.read as usize {
            if q.known[m] != Known::Hole {
                continue;
            }
            let gone = f.xmin >= q.fence[m] || (oldest_writer != 0 && q.fence[m] <= oldest_writer);
            let looked_at = (m as u8) < f.looked_at || (self.mutant == M::CutIgnored && f.looked_at > 0);
            if f.row[m] != 0 {
                (q.known[m], q.msg[m], q.fence[m]) = (Known::Ready, f.row[m], 0);
            } else if looked_at && gone {
                (q.known[m], q.fence[m]) = (Known::Settled, 0);
            }
        }
        if f.all_holes {
            q.held = 0;
        }
        if f.read > q.read {
            q.batch = q.read;
        }
        for m in q.read as usize..f.read as usize {
            if q.known[m] != Known::Unseen {
                continue;
            }
            if f.row[m] != 0 {
                (q.known[m], q.msg[m]) = (Known::Ready, f.row[m]);
                if self.hold_unprobed && !f.all_holes {
                    q.held |= bit(m);
                }
            } else if has(f.settled, m) || self.mutant == M::NaiveCursor {
                q.known[m] = Known::Settled;
            } else {
                (q.known[m], q.fence[m]) = (Known::Hole, f.next_xid);
            }
        }
        q.read = q.read.max(f.read);
        q.found_unsettled &= !below(q.read);
        if q.read >= q.found && (f.all_holes || self.mutant == M::SnapshotUnprobed) {
            (q.snapshot, q.own) = (f.snapshot, true);
        }
        if self.mutant == M::FenceEarly {
            q.early = s.next_xid;
        }
    }

    /// The oldest transaction among those that hold the table's write lock (foreign ones do not).
    fn oldest_writer(&self, s: &State) -> u8 {
        let writes = |w: &usize| s.writers[*w].xid != 0 && self.writers[*w].rows > 0;
        (0..self.writers.len()).filter(writes).map(|w| s.writers[w].xid).min().unwrap_or(NO_WRITER)
    }

    /// Asked when a hole is old, in a statement of its own just before the fetch that probes it.
    pub(crate) fn may_ask(&self, s: &State, r: usize) -> bool {
        let q = &s.relays[r];
        self.ask_writers
            && match self.mutant {
                M::WritersBeforeRead => q.oldest_writer != self.oldest_writer(s),
                _ => q.oldest_writer == 0 && q.known.contains(&Known::Hole),
            }
    }

    pub(crate) fn ask(&self, s: &mut State, r: usize) {
        s.relays[r].oldest_writer = self.oldest_writer(s);
    }
}
