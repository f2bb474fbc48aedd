//! From what a transport said to what is settled, parked, or tried again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::dispatch::{lane, size};
use super::{Flight, Key, KeyState, Machine};
use crate::relay::parking::{Lane, Parked};
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
            self.forget_sent(batch.iter());
            self.plan.delivered(batch.iter().map(|m| m.seq()), Size { messages: batch.len(), bytes: batch.bytes() });
            self.free(batch.iter());
            return;
        }
        let said: Vec<Outcome> = outcomes.all();
        let delivered = said.contains(&Outcome::Delivered);
        if delivered {
            self.something_delivered(id, parked, now);
        }
        // A retry that fails while a later publish is answered fails by itself.
        let alone = parked && self.last_good > Some(id);
        let answered = delivered || said.iter().any(|o| matches!(o, Outcome::Destination(_)));
        // A panic says nothing of the broker; what waited behind it in its key was not tried.
        let all = || batch.iter().map(|m| m.key_hash()).zip(&said);
        let panicked: Vec<u64> = all().filter(|(_, o)| **o == Outcome::Panicked).filter_map(|(key, _)| key).collect();
        let behind = |key: Option<u64>| key.is_some_and(|key| panicked.contains(&key));
        let silent = all().any(|(key, o)| matches!(o, Outcome::Unknown(_)) && !behind(key));
        let outage = !answered && !alone && silent;
        if outage {
            self.counts.outages += u64::from(self.breaker.is_closed());
            self.others_failed |= !parked;
            let unknown = batch.iter().zip(&said).filter(|(_, o)| matches!(o, Outcome::Unknown(_)));
            let heads = unknown.map(|(m, _)| m.seq()).filter(|seq| self.parking.is_head(*seq));
            self.suspects = if self.others_failed { Vec::new() } else { heads.collect() };
            self.breaker.failed(now, &mut self.random);
        } else {
            self.breaker.answered();
        }
        if probe {
            self.probed(&batch, &said, outage, now);
        }
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
                Outcome::Unknown(_) if outage => self.stall(&m, parked, || batch.slot(i)),
                Outcome::Unknown(e) => {
                    let error = e.unwrap_or_else(|| "the transport did not say what became of it".into());
                    self.fail(&m, parked, error, now);
                }
                Outcome::Panicked => self.fail(&m, parked, "the transport panicked".into(), now),
                Outcome::Destination(e) => self.refused(&m, &e, parked, probe, now),
                Outcome::Rejected(e) => self.reject(&m, parked, e, now),
            }
        }
        self.forget_sent(freed.iter().map(|i| batch.get(*i)));
        self.free(freed.into_iter().map(|i| batch.get(i)));
        if parked {
            // Whatever became of them, their lanes may be tried again when due.
            batch.iter().for_each(|m| self.parking.attempt_ended(lane(&m)));
        }
    }

    /// The transport is there, so what failed alone just before failed by itself. Said by a message of the log: a retry
    /// may be that of a suspect itself.
    fn something_delivered(&mut self, id: u64, parked: bool, now: Instant) {
        self.last_good = self.last_good.max(Some(id));
        self.others_failed = false;
        let suspects = std::mem::take(&mut self.suspects);
        for seq in suspects.into_iter().filter(|_| !parked) {
            // Of one that is tried again already, that attempt will tell.
            let idle = |p: &&Parked| !self.parking.is_retrying(p.lane);
            let Some(mut parked) = self.parking.get(seq).filter(idle).cloned() else { continue };
            self.counts.failed += 1;
            parked.attempts += 1;
            parked.exhausted = parked.attempts >= self.policy.max_attempts;
            parked.due = now + self.wait_after(parked.attempts, parked.exhausted);
            parked.error.get_or_insert_with(|| "the transport did not say what became of it".into());
            self.repark(seq, parked, now);
        }
    }

    fn wait_after(&mut self, attempts: u32, exhausted: bool) -> Duration {
        let wait = self.policy.retry.after(attempts, self.random.next());
        // An attempt of unknown end may still arrive.
        if exhausted { wait.max(self.policy.publish_deadline) } else { wait }
    }

    fn forget_sent<'a>(&mut self, messages: impl Iterator<Item = MessageRef<'a>>) {
        if !self.maybe_sent.is_empty() {
            messages.for_each(|m| _ = self.maybe_sent.remove(&m.seq()));
        }
    }

    /// The next of each key may go.
    fn free<'a>(&mut self, messages: impl Iterator<Item = MessageRef<'a>>) {
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
        self.push_checked(next);
    }

    /// Makes messages ready that waited; one over the limits dies instead, and holds its key.
    fn push_checked(&mut self, slots: Vec<Slot>) {
        let mut good = Vec::with_capacity(slots.len());
        for slot in slots {
            match self.limits.check_ref(&slot.message()) {
                Ok(()) => good.push(slot),
                Err(e) => self.bury(&slot.message(), e.to_string(), 0),
            }
        }
        self.push_ready(good);
    }

    /// Back to where it came from, at no cost.
    fn stall(&mut self, m: &MessageRef<'_>, parked: bool, slot: impl FnOnce() -> Slot) {
        if parked {
            self.window.sub(size(m));
            self.parking.mark_maybe_sent(m.seq());
        } else {
            self.maybe_sent.insert(m.seq());
            self.stalled.insert(m.seq(), slot());
        }
    }

    /// An attempt was used up: parked, and its key behind it.
    fn fail(&mut self, m: &MessageRef<'_>, parked: bool, error: String, now: Instant) {
        if parked {
            self.window.sub(size(m));
        }
        // Behind a failure of its own key it has not failed itself.
        let behind = lane(m);
        let first = self.parking.first_of(behind).is_none_or(|seq| seq >= m.seq());
        if !first {
            if parked {
                self.parking.mark_maybe_sent(m.seq());
            } else {
                self.maybe_sent.insert(m.seq());
                self.park_behind(m, now);
            }
            return;
        }
        self.counts.failed += 1;
        let before = self.parking.get(m.seq());
        let attempts = before.map_or(0, |p| p.attempts) + 1;
        self.maybe_sent.remove(&m.seq());
        let exhausted = attempts >= self.policy.max_attempts;
        let wait = self.wait_after(attempts, exhausted);
        self.park_failed(m, parked, Failure { error, attempts, exhausted, wait }, now);
    }

    /// It can never be stored: dead at once, or when no earlier attempt can arrive any more.
    fn reject(&mut self, m: &MessageRef<'_>, parked: bool, error: String, now: Instant) {
        let before = self.parking.get(m.seq());
        let attempts = before.map_or(0, |p| p.attempts) + 1;
        let maybe_sent = before.is_some_and(|p| p.maybe_sent) || self.maybe_sent.contains(&m.seq());
        if maybe_sent {
            if parked {
                self.window.sub(size(m));
            }
            self.maybe_sent.remove(&m.seq());
            let wait = self.policy.publish_deadline;
            self.park_failed(m, parked, Failure { error, attempts, exhausted: true, wait }, now);
        } else if parked {
            self.window.sub(size(m));
            self.parking.set_failure(m.seq(), error, attempts);
            self.bury_parked(m.seq());
        } else {
            self.counts.failed += 1;
            self.bury(m, error, attempts);
        }
    }

    fn park_failed(&mut self, m: &MessageRef<'_>, parked: bool, failure: Failure, now: Instant) {
        let entry = Parked {
            lane: lane(m),
            key: m.key().map(str::to_owned),
            attempts: failure.attempts,
            due: now + failure.wait,
            error: Some(failure.error),
            hold: None,
            refused: 0,
            maybe_sent: true,
            exhausted: failure.exhausted,
        };
        self.park_key(m, entry, parked, now);
    }

    /// Delivered, or gone. Its key is free when nothing is parked behind it.
    pub(super) fn unpark(&mut self, seq: i64, size: Size) {
        let Some(lane) = self.parking.get(seq).map(|p| p.lane) else { return self.plan.give_back(size) };
        self.plan.unpark(seq, size);
        self.parking.remove(seq);
        self.parking.attempt_ended(lane);
        if self.parking.holds(lane) {
            return;
        }
        if let Lane::Key(hash) = lane
            && self.keys.get(&hash).is_some_and(|k| k.state == KeyState::Parked)
        {
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
        self.push_checked(next);
        self.take_their_place(behind);
    }

    /// What waits for its publish may hold earlier and later messages of the keys that are free now.
    fn take_their_place(&mut self, behind: Vec<Slot>) {
        if behind.is_empty() {
            return;
        }
        let ready: Vec<Batch> = self.ready.drain(..).collect();
        let ready = ready.iter().flat_map(|batch| (0..batch.len()).map(|i| batch.slot(i)));
        let mut all: Vec<Slot> = behind.into_iter().chain(ready).collect();
        all.sort_by_key(Slot::seq);
        self.push_checked(all);
    }
}

struct Failure {
    error: String,
    attempts: u32,
    exhausted: bool,
    wait: Duration,
}
