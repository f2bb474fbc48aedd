//! What each action does to the state.

use crate::actions::Act;
use crate::config::Config;
use crate::mutant::Mutant as M;
use crate::state::*;

impl Config {
    pub(crate) fn step(&self, last: &State, act: Act) -> State {
        let mut next = *last;
        let s = &mut next;
        match act {
            Act::Xid(_) | Act::Lock(_) | Act::Seq(_) | Act::Commit(_) | Act::Abort(_) => self.write(s, act),
            Act::Publish(..) | Act::BrokerStores(..) | Act::Delivered(..) => self.publish(s, act),
            Act::Refused(..) | Act::Unknown(..) | Act::Rejected(..) | Act::Due(..) => self.publish(s, act),
            Act::Acquire(r) => self.acquire(s, r),
            Act::Scan(r) => self.scan(s, r),
            Act::Fetch(r) | Act::FetchUnprobed(r) => {
                let f = self.fetch(s, r, act == Act::Fetch(r));
                if self.split_fetch {
                    s.relays[r].fetched = f;
                } else {
                    self.note(s, r, f);
                }
            }
            Act::FetchReply(r) => self.note(s, r, s.relays[r].fetched),
            Act::Writers(r) => self.ask(s, r),
            Act::SettleSend(r) => self.settle_send(s, r),
            Act::SettleExec(r) => {
                let c = s.relays[r].settle;
                s.relays[r].settle = self.exec(s, c);
            }
            Act::SettleReply(r) => self.reply(s, r),
            Act::ReplyLost(r) => {
                s.budget.lost_reply -= 1;
                self.expose(s);
                let c = std::mem::take(&mut s.relays[r].settle);
                if c.phase == Phase::Sent {
                    s.orphan = c;
                }
                if self.lost_reply_restarts {
                    self.stop(s, r);
                }
            }
            Act::OrphanExec => {
                let c = std::mem::take(&mut s.orphan);
                self.exec(s, c);
            }
            Act::Release(r) => {
                s.budget.release -= 1;
                s.relays[r] = Relay::default();
            }
            Act::Reset => {
                s.budget.reset -= 1;
                self.reset(s);
            }
            Act::Crash(r) => {
                s.budget.crash -= 1;
                self.expose(s);
                self.stop(s, r);
            }
            Act::DatabaseFault => {
                s.budget.database -= 1;
                self.database_fault(s);
            }
            Act::Restore => {
                s.budget.restore -= 1;
                self.restore(s);
            }
            Act::Flush => s.durable = s.now(),
            Act::Retention => s.db.deleted |= self.deletable(s),
            Act::LateArrives(m) => {
                s.late &= !bit(m);
                self.store(s, m);
            }
            Act::LateGone(m) => s.late &= !bit(m),
        }
        self.forget(s);
        next
    }

    /// Drops what no longer makes a difference, so that states are not told apart by it.
    fn forget(&self, s: &mut State) {
        if s.budget.database == 0 && s.budget.restore == 0 {
            s.durable = Durable::default();
        }
        if self.mutant != M::FenceXmax {
            s.latest = 0;
        }
        if self.wait_restarts {
            s.waited = false;
        }
        if self.symmetry {
            self.sort(s);
        }
    }

    fn write(&self, s: &mut State, act: Act) {
        match act {
            Act::Xid(w) => {
                s.writers[w].xid = s.next_xid;
                s.next_xid += 1;
            }
            Act::Lock(w) => s.writers[w].locked = true,
            Act::Seq(w) => {
                let m = s.messages();
                s.msg[m] = Message { writer: w as u8 + 1, seq: s.seqs, xid: 0 };
                s.seqs += 1;
                s.writers[w].drawn += 1;
            }
            Act::Commit(w) => {
                let xid = s.writers[w].xid;
                s.msg.iter_mut().filter(|m| m.writer as usize == w + 1).for_each(|m| m.xid = xid);
                s.latest = s.latest.max(xid);
                s.writers[w] = Writer { end: End::Committed, ..Writer::default() };
                if !self.failover {
                    s.durable = s.now();
                }
            }
            Act::Abort(w) => {
                s.latest = s.latest.max(s.writers[w].xid);
                s.writers[w] = Writer { end: End::Aborted, ..Writer::default() };
            }
            _ => {}
        }
    }

    fn publish(&self, s: &mut State, act: Act) {
        match act {
            Act::Publish(r, m) => {
                s.relays[r].known[m] = Known::Sent;
                s.zombie_published |= self.publish_deadline && (s.relays[r].epoch, s.relays[r].token) != s.lease;
            }
            Act::BrokerStores(r, m) => {
                self.store(s, s.relays[r].msg[m] as usize - 1);
                s.relays[r].known[m] = Known::Stored;
            }
            Act::Delivered(r, m) => s.relays[r].known[m] = Known::Delivered,
            Act::Refused(r, m) => {
                s.budget.refused -= 1;
                self.fail(s, r, m);
            }
            Act::Unknown(r, m) => {
                s.budget.unknown -= 1;
                let x = s.relays[r].msg[m] as usize - 1;
                s.exposed |= bit(x);
                if s.relays[r].known[m] == Known::Sent {
                    s.late |= bit(x);
                }
                self.fail(s, r, m);
            }
            Act::Rejected(r, m) => {
                s.budget.rejected -= 1;
                s.relays[r].known[m] = Known::Dead;
            }
            Act::Due(r, m) => s.relays[r].known[m] = Known::Parked,
            _ => {}
        }
    }

    fn fail(&self, s: &mut State, r: usize, m: usize) {
        s.relays[r].known[m] = Known::Parked;
        s.relays[r].parking |= bit(m);
    }

    /// Writers of one kind are interchangeable, and so are the two relay processes: keeps one order of each.
    fn sort(&self, s: &mut State) {
        let rank = |s: &State, w: usize| {
            let owned = set(MAX, |m| s.msg[m].writer as usize == w + 1);
            (s.writers[w].end as u8, s.writers[w].xid, s.writers[w].locked, owned)
        };
        for i in 0..self.writers.len() {
            for j in i + 1..self.writers.len() {
                if self.writers[i] == self.writers[j] && rank(s, i) < rank(s, j) {
                    s.writers.swap(i, j);
                    for m in &mut s.msg {
                        m.writer = match m.writer as usize {
                            x if x == i + 1 => j as u8 + 1,
                            x if x == j + 1 => i as u8 + 1,
                            _ => m.writer,
                        };
                    }
                }
            }
        }
        let rank = |q: &Relay| (q.active, q.token, q.epoch);
        if rank(&s.relays[0]) < rank(&s.relays[1]) {
            s.relays.swap(0, 1);
        }
    }
}
