//! From what a transport said to what is settled, parked, or tried again.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use super::dispatch::{lane, size};
use super::rules::Failure;
use super::{Flight, Key, KeyState, Machine};
use crate::relay::parked::{Fate, Lane, Origin, Parked};
use crate::relay::plan::Size;
use crate::transport::Outcome;
use crate::{Batch, KeyOrder, MessageRef, Outcomes, Slot};

impl Key {
    pub(super) fn new(state: KeyState) -> Self {
        Self { state, waiting: VecDeque::new() }
    }
}

impl Machine {
    /// A publish ended: by itself, by its deadline, or by a panic.
    pub(crate) fn published(&mut self, id: u64, outcomes: &Outcomes, now: Instant) {
        let Some(Flight { batch, parked, probe }) = self.flights.remove(&id) else { return };
        if parked {
            // Whatever was suspected of them, this attempt tells.
            self.suspects.retain(|seq| batch.iter().all(|m| m.seq() != *seq));
        }
        if outcomes.all_delivered() {
            self.something_delivered(id, parked, now);
            self.breaker.answered();
            self.counts.delivered += batch.len() as u64;
            if probe {
                self.probed(&batch, &outcomes.all(), false, now);
            }
            if parked {
                batch.iter().for_each(|m| self.unpark(m.seq(), size(&m)));
                return;
            }
            self.maybe_sent.delivered(batch.iter().map(|m| lane(&m)));
            self.forget_sent(batch.iter());
            self.plan.delivered(batch.iter().map(|m| m.seq()), Size { messages: batch.len(), bytes: batch.bytes() });
            self.free(batch.iter(), now);
            return;
        }
        let said: Vec<Outcome> = outcomes.all();
        let delivered = said.contains(&Outcome::Delivered);
        if delivered {
            self.something_delivered(id, parked, now);
        }
        if delivered && !parked {
            let stored = batch.iter().zip(&said).filter(|(_, outcome)| **outcome == Outcome::Delivered);
            self.maybe_sent.delivered(stored.map(|(m, _)| lane(&m)));
        }
        // A retry that fails while a later publish is answered fails by itself.
        let alone = parked && self.last_good > Some(id);
        // A panic says nothing of the broker; what waited behind it in its key was not tried.
        let all = || batch.iter().map(|m| m.key_hash()).zip(&said);
        let panicked: Vec<u64> = all().filter(|(_, o)| **o == Outcome::Panicked).filter_map(|(key, _)| key).collect();
        let behind = |key: Option<u64>| key.is_some_and(|key| panicked.contains(&key));
        let silent = all().any(|(key, o)| matches!(o, Outcome::Unknown(_)) && !behind(key));
        // That a topic is missing may be known without the broker, or end the client with what else was under way.
        let no_answer = !delivered && !alone && silent;
        // A topic that is held may be the only one that gives none.
        let outage = no_answer && !probe;
        let at_fault = outage && !parked && self.is_at_fault(&batch);
        if outage {
            if self.breaker.is_closed() {
                self.counts.outages += 1;
                let why = |outcome: &Outcome| match outcome {
                    Outcome::Unknown(error) => error.clone(),
                    _ => None,
                };
                self.outage = said.iter().find_map(why);
            }
            self.others_failed |= !parked && !at_fault;
            let unknown = batch.iter().zip(&said).filter(|(_, o)| matches!(o, Outcome::Unknown(_)));
            let heads = unknown.map(|(m, _)| m.seq()).filter(|seq| self.parking.is_head(*seq));
            if !at_fault {
                self.suspects = if self.others_failed { Vec::new() } else { heads.collect() };
                self.suspected_in = id;
            }
            self.breaker.failed(now, &mut self.random);
        } else if !no_answer {
            self.breaker.answered();
        }
        if probe {
            self.probed(&batch, &said, outage, now);
        }
        let silent = if no_answer { HashSet::new() } else { self.silent_topics(&batch, &said) };
        let cut_off = delivered && self.is_cut_off(&batch, &said);
        let mut passed = HashSet::new();
        let lanes: Vec<Lane> = if parked { batch.iter().map(|m| self.lane_of(&m)).collect() } else { Vec::new() };
        let mut freed = Vec::new();
        for (i, (m, outcome)) in batch.iter().zip(said).enumerate() {
            match outcome {
                Outcome::Delivered => {
                    self.counts.delivered += 1;
                    if parked {
                        self.unpark(m.seq(), size(&m));
                    } else {
                        self.plan.delivered([m.seq()].into_iter(), size(&m));
                        freed.push(i);
                    }
                }
                Outcome::Unknown(error) if no_answer && !at_fault => self.stall(&m, parked, error, || batch.slot(i)),
                Outcome::Unknown(_) if m.key_hash().is_some_and(|key| passed.contains(&key)) => {
                    self.not_tried(&m, parked, now);
                }
                Outcome::Unknown(e) => {
                    let error = e.unwrap_or_else(|| "the transport did not say what became of it".into());
                    if self.is_of_silent(&m, probe, &silent) {
                        self.silent(&m, &error, parked, probe, now);
                    } else if cut_off && self.is_let_off(&m) {
                        self.try_later(&m, parked, error, now);
                    } else {
                        passed.extend(self.passed_by(&m));
                        self.fail(&m, parked, error, now);
                    }
                }
                Outcome::Panicked => {
                    passed.extend(self.passed_by(&m));
                    self.fail(&m, parked, "the transport panicked".into(), now);
                }
                Outcome::Destination(e) => self.refused(&m, &e, parked, probe, now),
                Outcome::Rejected(e) => self.reject(&m, parked, e, now),
            }
        }
        self.forget_sent(freed.iter().map(|i| batch.get(*i)));
        self.free(freed.into_iter().map(|i| batch.get(i)), now);
        // Whatever became of them, their lanes may be tried again when due.
        lanes.into_iter().for_each(|lane| self.attempt_ended(lane, now));
    }

    /// The transport is there, so what failed alone just before failed by itself. Said by a message of the log that was
    /// handed over later: an outage may have begun in between.
    fn something_delivered(&mut self, id: u64, parked: bool, now: Instant) {
        self.last_good = self.last_good.max(Some(id));
        self.others_failed = false;
        if parked || id < self.suspected_in || self.suspects.is_empty() {
            return;
        }
        self.breaker.probe_now(now);
        for seq in std::mem::take(&mut self.suspects) {
            // Of one that is tried again already, that attempt will tell.
            let idle = |p: &&Parked| !self.parking.is_retrying(p.lane);
            let Some(mut parked) = self.parking.get(seq).filter(idle).cloned() else { continue };
            self.counts.failed += 1;
            parked.attempts += 1;
            let (rule, lane) = (parked.rule.unwrap_or_default(), parked.lane);
            parked.fate = self.fate_after(parked.attempts, rule);
            parked.due = now + self.wait_after(parked.attempts, rule, parked.fate);
            parked.error = parked.said.take().or(parked.error);
            parked.error.get_or_insert_with(|| "the transport did not say what became of it".into());
            if parked.fate == Fate::Block {
                self.blocked_now(&parked);
            }
            self.repark(seq, parked, now);
            self.supersede(lane, now);
        }
    }

    /// Whether it is the fault of the first of them that none of them got an answer: they are of one key, and others
    /// are delivered each time. Of what is handed over one by one it is not known.
    fn is_at_fault(&mut self, batch: &Batch) -> bool {
        let first = batch.get(0);
        let one = self.isolation.is_none() && batch.iter().all(|m| lane(&m) == lane(&first));
        one && self.maybe_sent.unanswered_alone(first.seq(), lane(&first))
    }

    fn forget_sent<'a>(&mut self, messages: impl Iterator<Item = MessageRef<'a>>) {
        if !self.maybe_sent.is_empty() {
            messages.for_each(|m| _ = self.maybe_sent.remove(m.seq()));
        }
    }

    /// The next of each key may go.
    pub(super) fn free<'a>(&mut self, messages: impl Iterator<Item = MessageRef<'a>>, now: Instant) {
        if self.order == KeyOrder::Gapless {
            return;
        }
        let mut next: Vec<Slot> = Vec::new();
        for hash in messages.filter_map(|m| m.key_hash()) {
            let Some(key) = self.keys.get_mut(&hash).filter(|k| k.state == KeyState::Busy) else { continue };
            match key.waiting.pop_front() {
                Some(slot) => next.push(slot),
                None => _ = self.keys.remove(&hash),
            }
        }
        self.push_checked(next, now);
    }

    /// Makes messages ready that waited, but for those that are over the limits.
    fn push_checked(&mut self, slots: Vec<Slot>, now: Instant) {
        let mut good = Vec::with_capacity(slots.len());
        for slot in slots {
            match self.limits.check_ref(&slot.message()) {
                Ok(()) => good.push(slot),
                Err(e) => self.refuse(&slot.message(), e.to_string(), now),
            }
        }
        self.push_ready(good);
    }

    /// Back to where it came from, at no cost.
    fn stall(&mut self, m: &MessageRef<'_>, parked: bool, said: Option<String>, slot: impl FnOnce() -> Slot) {
        if parked {
            self.window.sub(size(m));
            self.parking.stalled(m.seq(), said);
        } else {
            self.maybe_sent.insert(m.seq());
            self.stalled.insert(m.seq(), slot());
        }
    }

    /// The key of a message that goes on without it: where many of a key are in flight, what follows was not stored
    /// because of it.
    fn passed_by(&self, m: &MessageRef<'_>) -> Option<u64> {
        let rules = &self.policy.rules;
        let gapless = self.order == KeyOrder::Gapless;
        m.key_hash().filter(|_| gapless && rules.passes_by(rules.of(m.event_type())))
    }

    /// It was handed over behind a message of its key that is passed by now: it waits no longer than that was under
    /// way.
    fn not_tried(&mut self, m: &MessageRef<'_>, parked: bool, now: Instant) {
        if parked {
            self.window.sub(size(m));
            self.parking.mark_maybe_sent(m.seq());
            return;
        }
        self.maybe_sent.remove(m.seq());
        let untried = Parked::untried(self.lane_of(m), m.key(), self.policy.rules.of(m.event_type()), now);
        self.park_key(m, Parked { maybe_sent: true, ..untried }, Origin::Flight, now);
    }

    /// An attempt was used up: parked, and its key behind it.
    fn fail(&mut self, m: &MessageRef<'_>, parked: bool, error: String, now: Instant) {
        if parked {
            self.window.sub(size(m));
        }
        if self.waits_behind(m, parked, now) {
            return;
        }
        self.counts.failed += 1;
        let before = self.parking.get(m.seq());
        let attempts = before.map_or(0, |p| p.attempts) + 1;
        self.maybe_sent.remove(m.seq());
        let rule = self.policy.rules.of(m.event_type());
        let fate = self.fate_after(attempts, rule);
        let wait = self.wait_after(attempts, rule, fate);
        self.park_failed(m, origin(parked), Failure { error, attempts, rule, fate, wait }, now);
    }

    /// It got no answer, for a reason that may not be its own: it waits, and its key behind it, at no attempt.
    fn try_later(&mut self, m: &MessageRef<'_>, parked: bool, error: String, now: Instant) {
        if parked {
            self.window.sub(size(m));
        }
        if self.waits_behind(m, parked, now) {
            return;
        }
        self.maybe_sent.remove(m.seq());
        let rule = self.policy.rules.of(m.event_type());
        let untried = || Parked::untried(lane(m), m.key(), rule, now);
        let mut entry = self.parking.get(m.seq()).cloned().unwrap_or_else(untried);
        entry.let_off += 1;
        entry.due = now + self.wait_after(entry.let_off, rule, Fate::Retry);
        (entry.said, entry.maybe_sent, entry.hold) = (Some(error), true, None);
        if entry.attempts == 0 {
            entry.error = None; // or a successor would take its topic for one that is held
        }
        self.park_key(m, entry, origin(parked), now);
    }

    /// Behind a failure of its own key it has not failed itself. Says whether it was behind one.
    fn waits_behind(&mut self, m: &MessageRef<'_>, parked: bool, now: Instant) -> bool {
        if self.parking.first_of(self.lane_of(m)).is_none_or(|seq| seq >= m.seq()) {
            return false;
        }
        if parked {
            self.parking.mark_maybe_sent(m.seq());
        } else {
            self.maybe_sent.insert(m.seq());
            self.park_behind(m, now);
        }
        true
    }

    /// It can never be stored: dead at once, or when no earlier attempt can arrive any more.
    fn reject(&mut self, m: &MessageRef<'_>, parked: bool, error: String, now: Instant) {
        let before = self.parking.get(m.seq());
        let attempts = before.map_or(0, |p| p.attempts) + 1;
        let maybe_sent = before.is_some_and(|p| p.maybe_sent) || self.maybe_sent.contains(m.seq());
        let rule = self.policy.rules.of(m.event_type());
        let blocks = self.policy.rules.blocks(rule);
        if parked {
            self.window.sub(size(m));
        }
        if blocks || maybe_sent {
            self.maybe_sent.remove(m.seq());
            let (fate, wait) = (if blocks { Fate::Block } else { Fate::Bury }, self.policy.longest_deadline());
            self.park_failed(m, origin(parked), Failure { error, attempts, rule, fate, wait }, now);
        } else if parked {
            self.parking.set_failure(m.seq(), error, attempts);
            self.bury_parked(m);
        } else {
            self.counts.failed += 1;
            self.bury(m, error, attempts);
        }
    }

    pub(super) fn forget_parked_key(&mut self, hash: u64) {
        if self.keys.get(&hash).is_some_and(|k| k.state == KeyState::Parked) && !self.parking.is_paused(hash) {
            self.keys.remove(&hash);
        }
    }

    /// The dead letters are on record: what waited behind them may go.
    pub(super) fn release_held(&mut self, now: Instant) {
        let held: Vec<u64> =
            self.keys.iter().filter(|(_, k)| k.state == KeyState::Held).map(|(hash, _)| *hash).collect();
        let mut held: Vec<u64> = held.into_iter().filter(|hash| !self.plan.has_dead(*hash)).collect();
        held.sort_unstable(); // So that the same events always end in the same actions.
        let (mut next, mut behind) = (Vec::new(), Vec::new());
        for hash in held {
            let Some(mut key) = self.keys.remove(&hash) else { continue };
            self.held -= 1;
            if self.parking.holds(Lane::Key(hash)) {
                self.keys.insert(hash, Key::new(KeyState::Parked));
                key.waiting.iter().for_each(|slot| self.park_behind(&slot.message(), now));
            } else if self.order == KeyOrder::Gapless {
                behind.extend(key.waiting);
            } else if let Some(first) = key.waiting.pop_front() {
                key.state = KeyState::Busy;
                next.push(first);
                self.keys.insert(hash, key);
            }
        }
        self.push_checked(next, now);
        self.take_their_place(behind, now);
    }

    /// What waits for its publish may hold earlier and later messages of the keys that are free now.
    fn take_their_place(&mut self, behind: Vec<Slot>, now: Instant) {
        if behind.is_empty() {
            return;
        }
        let ready: Vec<Batch> = self.ready.drain(..).collect();
        let ready = ready.iter().flat_map(|batch| (0..batch.len()).map(|i| batch.slot(i)));
        let mut all: Vec<Slot> = behind.into_iter().chain(ready).collect();
        all.sort_by_key(Slot::seq);
        self.push_checked(all, now);
    }
}

pub(super) fn origin(parked: bool) -> Origin {
    if parked { Origin::Parked } else { Origin::Flight }
}
