//! The model and its properties. All are checked in every reachable state.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use stateright::{Model, Property};

use crate::actions::Act;
use crate::config::{Budget, Config};
use crate::state::*;

pub(crate) const NO_LOSS: &str = "P1 no loss";
pub(crate) const COMPLETES: &str = "P1 completes";
pub(crate) const ORDER: &str = "P2 order";
pub(crate) const FENCING: &str = "P3 fencing";
pub(crate) const ONE_PUBLISHER: &str = "P3 one publisher";
pub(crate) const ONE_HOLDER: &str = "P3 one epoch, one relay";
pub(crate) const DUPLICATES: &str = "P4 duplicates";
pub(crate) const ONLY_COMMITTED: &str = "P5 only committed";

impl Model for Config {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let mut s = State {
            writers: Default::default(),
            msg: Default::default(),
            seqs: self.gaps,
            next_xid: 1,
            latest: 0,
            db: Db::default(),
            token: 0,
            tokens: 0,
            lease: (0, 0),
            rolled_back: false,
            waited: false,
            reset: false,
            durable: Durable::default(),
            relays: Default::default(),
            orphan: Settle::default(),
            broker: 0,
            late: 0,
            budget: self.budget,
            exposed: 0,
            undead: 0,
            inverted: false,
            bad_duplicate: false,
            zombie_wrote: false,
            zombie_published: false,
        };
        // Slots that no writer uses are over from the start.
        for w in &mut s.writers[self.writers.len()..] {
            w.end = End::Aborted;
        }
        if s.budget.database + s.budget.restore > 0 {
            s.durable = s.now();
        }
        if self.unreplicated {
            first_lease(&mut s);
        }
        vec![s]
    }

    fn actions(&self, s: &State, out: &mut Vec<Act>) {
        self.all_actions(s, out);
    }

    fn next_state(&self, s: &State, act: Act) -> Option<State> {
        Some(self.step(s, act))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_LOSS, |c: &Self, s: &State| c.lost(s) == 0),
            Property::always(COMPLETES, |c: &Self, s: &State| !c.sampled(s) || c.completes(s)),
            Property::always(ORDER, |_, s: &State| !s.inverted),
            Property::always(FENCING, |_, s: &State| !s.zombie_wrote),
            Property::always(ONE_PUBLISHER, |_, s: &State| !s.zombie_published),
            Property::always(ONE_HOLDER, |_, s: &State| {
                let [a, b] = &s.relays;
                !(a.active && b.active && (a.epoch, a.token) == (b.epoch, b.token))
            }),
            Property::always(DUPLICATES, |_, s: &State| !s.bad_duplicate),
            Property::always(ONLY_COMMITTED, |_, s: &State| s.broker & !s.ever_committed() == 0),
        ]
    }
}

impl Config {
    /// Committed messages (less those that the database lost) that neither the broker nor the dead letters have, and
    /// that are deleted, or settled by what is stored.
    fn lost(&self, s: &State) -> Bits {
        let missed = s.committed() & !s.broker;
        set(s.messages(), |m| {
            let seq = s.msg[m].seq as usize;
            let kept = has(s.db.dead, seq) || (has(s.db.parked, seq) && !has(s.db.deleted, seq));
            has(missed, m) && !kept && (has(s.db.deleted, seq) || self.settled(s, m, true))
        })
    }

    fn sampled(&self, s: &State) -> bool {
        self.sample == 1 || BuildHasherDefault::<DefaultHasher>::default().hash_one(s).is_multiple_of(self.sample)
    }

    /// From here, without further faults, the holder of the lease alone brings everything to an end: all messages
    /// stored or dead, all of them settled so that retention may delete them, no hole left over. A foreign transaction
    /// stays open where the list of writers must cope with it. One fair schedule is tried, so this is "can complete",
    /// not "must complete".
    fn completes(&self, s: &State) -> bool {
        let mut s = *s;
        s.budget = Budget::default();
        for _ in 0..14 {
            if self.all_settled(&s) {
                return true;
            }
            for w in (0..self.writers.len()).filter(|&w| !self.stays(w)) {
                let last = |a: &Act| matches!(a, Act::Abort(i) if *i == w && self.writers[w].aborts);
                let goes_on =
                    |a: &Act| matches!(a, Act::Xid(i) | Act::Lock(i) | Act::Seq(i) | Act::Commit(i) if *i == w);
                self.drive(&mut s, |a| last(a) || goes_on(a));
            }
            self.drive(&mut s, |a| matches!(a, Act::LateGone(_)));
            let Some(h) = s.holder() else {
                let mut acts = Vec::new();
                self.all_actions(&s, &mut acts);
                match acts.iter().find(|a| matches!(a, Act::Acquire(_))) {
                    Some(&a) => s = self.step(&s, a),
                    // A process with an old epoch holds a slot: let it learn that its lease is lost.
                    None => s.relays = Default::default(),
                }
                continue;
            };
            self.drive(&mut s, |a| works(h, a));
            if s.holder() == Some(h) {
                self.drive(&mut s, |a| matches!(a, Act::Scan(x) | Act::FetchReply(x) | Act::Writers(x) if *x == h));
            }
            if s.holder() == Some(h) {
                s = self.step(&s, Act::Fetch(h));
                self.drive(&mut s, |a| matches!(a, Act::FetchReply(x) if *x == h));
            }
        }
        self.all_settled(&s)
    }

    fn stays(&self, w: usize) -> bool {
        self.ask_writers && self.writers[w].rows == 0
    }

    fn all_settled(&self, s: &State) -> bool {
        let committed = s.committed();
        let ended = (0..self.writers.len()).all(|w| s.writers[w].end != End::Open || self.stays(w));
        let settled = |m: usize| has(s.db.deleted, s.msg[m].seq as usize) || self.settled(s, m, self.floor_settles);
        let rows = (0..s.messages()).filter(|&m| has(committed, m)).all(settled);
        let dead = set(s.messages(), |m| has(s.db.dead, s.msg[m].seq as usize));
        let received = committed & !(s.broker | s.undead | dead) == 0;
        ended && rows && received && s.db.parked == 0 && s.db.floor == s.db.position
    }

    /// Takes the first matching action until none is left.
    fn drive(&self, s: &mut State, want: impl Fn(&Act) -> bool) {
        let mut acts = Vec::new();
        for _ in 0..64 {
            acts.clear();
            self.all_actions(s, &mut acts);
            match acts.iter().find(|a| want(a)) {
                Some(&a) => *s = self.step(s, a),
                None => return,
            }
        }
    }
}

/// See `Config::unreplicated`.
fn first_lease(s: &mut State) {
    s.writers[0].end = End::Committed;
    for seq in [0, 1] {
        s.msg[seq] = Message { writer: 1, seq: seq as u8, xid: 1 };
    }
    (s.seqs, s.next_xid, s.broker) = (2, 2, bit(0));
    s.db = Db { epoch: 1, position: 2, floor: 1, snapshot: bit(1), unsettled: bit(1), ..Db::default() };
    (s.token, s.tokens, s.lease) = (1, 1, (1, 1));
}

/// What relay `r` does by itself with what it has read.
fn works(r: usize, act: &Act) -> bool {
    match act {
        Act::Publish(x, _) | Act::BrokerStores(x, _) | Act::Delivered(x, _) | Act::Due(x, _) => *x == r,
        Act::Scan(x) | Act::FetchReply(x) => *x == r,
        Act::SettleSend(x) | Act::SettleExec(x) | Act::SettleReply(x) => *x == r,
        _ => false,
    }
}
