//! What can be read from a state.

use crate::state::*;

impl State {
    /// How many messages have drawn a seq.
    pub(crate) fn messages(&self) -> usize {
        self.msg.iter().take_while(|m| m.writer != 0).count()
    }

    fn ended(&self, end: End) -> Bits {
        set(self.messages(), |m| self.writers[self.msg[m].writer as usize - 1].end == end)
    }

    /// Messages that are committed in the present history of the database.
    pub(crate) fn committed(&self) -> Bits {
        self.ended(End::Committed)
    }

    pub(crate) fn ever_committed(&self) -> Bits {
        self.committed() | self.ended(End::Lost)
    }

    /// The message whose row a read of `seq` finds now.
    pub(crate) fn row(&self, seq: usize) -> Option<usize> {
        let committed = self.committed();
        let found = |&m: &usize| has(committed, m) && self.msg[m].seq as usize == seq && !has(self.db.deleted, seq);
        (0..self.messages()).find(found)
    }

    /// `pg_snapshot_xmin`: the oldest transaction id in progress, else the next one.
    pub(crate) fn xmin(&self) -> u8 {
        self.writers.iter().filter(|w| w.xid != 0).map(|w| w.xid).min().unwrap_or(self.next_xid)
    }

    /// `pg_current_snapshot`, as the set of completed transaction ids.
    pub(crate) fn snapshot(&self) -> Bits {
        let open = self.writers.iter().filter(|w| w.xid != 0).fold(0, |b, w| b | bit(w.xid as usize));
        below(self.next_xid) & !1 & !open
    }

    pub(crate) fn valid(&self, epoch: u8, token: u8) -> bool {
        epoch == self.db.epoch && token == self.token
    }

    /// The relay that holds the lease and lives.
    pub(crate) fn holder(&self) -> Option<usize> {
        (0..RELAYS).find(|&r| self.relays[r].active && self.valid(self.relays[r].epoch, self.relays[r].token))
    }

    pub(crate) fn now(&self) -> Durable {
        Durable {
            db: self.db,
            committed: self.committed(),
            seqs: self.seqs,
            next_xid: self.next_xid,
            token: self.token,
        }
    }
}
