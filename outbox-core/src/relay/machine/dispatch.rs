//! From what a store handed out to what a transport is given.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::{Action, Flight, Key, KeyState, Machine};
use crate::relay::observer::RelayEvent;
use crate::relay::parked::{Lane, Parked};
use crate::relay::plan::Size;
use crate::{Batch, DeadLetter, KeyOrder, MessageRef, ParkedMessage, Slot};

impl Machine {
    /// The next messages of the log.
    pub(crate) fn fetched(&mut self, batch: Batch, now: Instant) {
        self.fetching = false;
        self.fetched_once = true;
        self.drained = batch.is_empty();
        let last = batch.len().checked_sub(1).map(|i| batch.get(i).seq());
        self.parked_before = self.parked_before.filter(|top| last.is_some_and(|last| last <= *top));
        if batch.is_empty() {
            self.empty_fetches = self.empty_fetches.saturating_add(1);
            self.fetch_at = now + self.policy.poll.after(self.empty_fetches, 0);
            return;
        }
        self.empty_fetches = 0;
        self.fetch_at = now;
        self.window.add(batch.len(), batch.bytes());
        if self.order == KeyOrder::Gapless
            && self.keys.is_empty()
            && batch.iter().all(|m| self.limits.check_ref(&m).is_ok())
        {
            self.ready.push_back(batch);
            return;
        }
        let mut free = Vec::with_capacity(batch.len());
        for (i, m) in batch.iter().enumerate() {
            if self.claim(&m, || batch.slot(i), now) {
                free.push(batch.slot(i));
            }
        }
        self.push_ready(free);
    }

    /// Whether the message may be published now; otherwise it waits, is parked or dies.
    fn claim(&mut self, m: &MessageRef<'_>, slot: impl FnOnce() -> Slot, now: Instant) -> bool {
        if let Some(key) = m.key_hash().and_then(|hash| self.keys.get_mut(&hash)) {
            match key.state {
                KeyState::Busy | KeyState::Held => key.waiting.push_back(slot()),
                KeyState::Parked => self.park_behind(m, now),
            }
            return false;
        }
        if let Err(e) = self.limits.check_ref(m) {
            self.refuse(m, e.to_string(), now);
            return false;
        }
        if self.give_up_untried(m, now) {
            return false;
        }
        if let Some(hold) = self.hold_of(m) {
            self.park_for(m, hold, now);
            return false;
        }
        if let (KeyOrder::OneInFlight, Some(hash)) = (self.order, m.key_hash()) {
            self.keys.insert(hash, Key::new(KeyState::Busy));
        }
        true
    }

    pub(super) fn push_ready(&mut self, slots: Vec<Slot>) {
        let mut slots = slots.into_iter();
        loop {
            let some: Vec<Slot> = slots.by_ref().take(self.policy.batch).collect();
            if some.is_empty() {
                return;
            }
            self.ready.push_back(Batch::from_slots(some));
        }
    }

    /// Publishes in order, no later than the lease allows, one at a time while an outage is probed.
    pub(super) fn next_publish(&mut self, now: Instant) -> Option<Action> {
        if !self.may_publish(now) || self.is_confined() {
            return None;
        }
        if let Some(at) = self.breaker.probe_at() {
            let due = at <= now;
            if !self.flights.is_empty() || !due && !self.is_doubtful() {
                return None;
            }
            return self.probe(due, now);
        }
        if !self.breaker.is_closed() || self.flights.len() >= self.publishes() {
            return None;
        }
        debug_assert!(self.stalled.is_empty(), "nothing but a probe takes it back");
        while let Some(batch) = self.ready.pop_front() {
            let batch = self.still_free(batch, now);
            let batch = self.first_alone(batch);
            if !batch.is_empty() {
                return Some(self.launch(batch, false, false));
            }
        }
        None
    }

    /// Publishes in flight at once.
    fn publishes(&self) -> usize {
        if self.isolation.is_some() { 1 } else { self.publishes.max(1) }
    }

    /// The breaker is open for nothing but parked heads that failed: whether it is their fault is what the next message
    /// of the log tells, at once.
    fn is_doubtful(&self) -> bool {
        !self.suspects.is_empty() && self.stalled.is_empty() && !self.ready.is_empty()
    }

    /// What is handed to a transport now has ended when the lease ends.
    pub(super) fn may_publish(&self, now: Instant) -> bool {
        !self.draining && now + self.policy.longest_deadline() < self.plan.lease_until
    }

    /// Takes out what has to wait since it was made ready, or grew too old. With one in flight per key only a topic can
    /// be the reason to wait.
    fn still_free(&mut self, batch: Batch, now: Instant) -> Batch {
        let keyed = self.order == KeyOrder::Gapless && !self.keys.is_empty();
        let guilty = self.isolation.is_some();
        if !keyed && self.parking.destinations.is_empty() && !self.policy.rules.expire() && !guilty {
            return batch;
        }
        let parked = |m: &MessageRef<'_>| keyed && m.key_hash().is_some_and(|hash| self.keys.contains_key(&hash));
        let waits = |m: MessageRef<'_>| parked(&m) || self.hold_of(&m).is_some() || self.too_old(&m, now).is_some();
        if !guilty && !batch.iter().any(waits) {
            return batch;
        }
        let mut free = Vec::with_capacity(batch.len());
        for (i, m) in batch.iter().enumerate() {
            let goes = match (self.order, self.hold_of(&m)) {
                (KeyOrder::OneInFlight, _) if self.give_up_untried(&m, now) => false,
                (KeyOrder::OneInFlight, Some(hold)) => {
                    self.park_for(&m, hold, now);
                    false
                }
                (KeyOrder::OneInFlight, None) => true,
                (KeyOrder::Gapless, _) => self.claim(&m, || batch.slot(i), now),
            };
            if goes {
                free.push(batch.slot(i));
            }
        }
        Batch::from_slots(free)
    }

    pub(super) fn launch(&mut self, batch: Batch, parked: bool, probe: bool) -> Action {
        let id = self.next_flight;
        self.next_flight += 1;
        self.flights.insert(id, Flight { batch: batch.clone(), parked, probe });
        let alone = parked || self.order == KeyOrder::OneInFlight;
        let first = batch.get(0).seq();
        self.confined(first, Action::Publish { id, batch, alone })
    }

    /// One message, of another key each time.
    fn probe(&mut self, due: bool, now: Instant) -> Option<Action> {
        self.unstall(now);
        let mut slots: Vec<Slot> = self.ready.drain(..).flat_map(|b| (0..b.len()).map(move |i| b.slot(i))).collect();
        let mut seen = HashSet::new();
        let lane = |slot: &Slot| match slot.message().key_hash() {
            Some(hash) => hash,
            None => slot.seq().cast_unsigned().reverse_bits(),
        };
        // Only the first of each key, so that a probe never overtakes.
        let heads: Vec<usize> = (0..slots.len()).filter(|i| seen.insert(lane(&slots[*i]))).collect();
        let chosen = self.breaker.probe(heads.iter().map(|i| lane(&slots[*i])));
        let slot = chosen.map(|i| slots.remove(heads[i]));
        self.push_ready(slots);
        match slot {
            Some(slot) => Some(self.launch(Batch::from_slots(vec![slot]), false, false)),
            // Nothing of the log waits: the parked ones may try.
            None => {
                if due {
                    self.breaker.half_open();
                }
                None
            }
        }
    }

    /// What the outage gave back takes its place in front again; what has to wait since it was made ready does.
    fn unstall(&mut self, now: Instant) {
        let mut slots: Vec<Slot> = std::mem::take(&mut self.stalled).into_values().collect();
        slots.extend(self.ready.drain(..).flat_map(|b| (0..b.len()).map(move |i| b.slot(i))));
        slots.sort_by_key(Slot::seq);
        let batch = self.still_free(Batch::from_slots(slots), now);
        self.push_ready((0..batch.len()).map(|i| batch.slot(i)).collect());
    }

    /// Parked messages whose time has come are read again: to be tried, or to be given up.
    pub(super) fn next_retry(&mut self, now: Instant) -> Option<Action> {
        let busy = self.is_confined() || self.isolation.is_some() && !self.ready.is_empty();
        if !self.may_publish(now) || !self.breaker.is_closed() || self.parked_before.is_some() || busy {
            return None;
        }
        if self.reading || self.flights.len() >= self.publishes() {
            return None;
        }
        // Nothing is ready here.
        self.parking.handed_over(self.next_flight);
        let alone = self.isolation.is_some();
        let run = if self.order == KeyOrder::Gapless && !alone { 64 } else { 1 };
        let most = if alone { 1 } else { self.policy.batch };
        let oldest = self.flights.keys().next().copied().unwrap_or(u64::MAX);
        let keys = &self.keys;
        let held = |lane| is_held(keys, lane);
        let mut seqs = self.parking.take_probes(now, most, oldest, held);
        self.reading_probes = !seqs.is_empty();
        if seqs.is_empty() {
            seqs = self.parking.take_due(now, run, most, oldest, held);
        }
        let first = *seqs.first()?;
        self.reading = true;
        Some(self.confined(first, Action::Read(seqs)))
    }

    /// Parked messages as the store has them; one that is gone is forgotten.
    pub(crate) fn reread(&mut self, asked: &[i64], batch: Batch, now: Instant) -> Option<Action> {
        self.reading = false;
        let found: HashSet<i64> = batch.iter().map(|m| m.seq()).collect();
        for seq in asked.iter().filter(|seq| !found.contains(seq)) {
            self.unpark(*seq, Size::default());
        }
        let probe = std::mem::take(&mut self.reading_probes);
        let look = !probe && (self.parking.presumes || !self.parking.destinations.is_empty());
        let (mut waiting, mut going) = (HashSet::new(), HashSet::new());
        let mut good = Vec::with_capacity(batch.len());
        for (i, m) in batch.iter().enumerate() {
            let lane = self.lane_of(&m);
            if is_held(&self.keys, lane) || waiting.contains(&lane) {
                continue;
            }
            // While it was read, one before it may have been parked.
            let in_turn = going.contains(&lane) || self.parking.first_of(lane) == Some(m.seq());
            if !in_turn || self.is_over(&m, now) || look && self.waits(&m, now) {
                waiting.insert(lane);
            } else {
                going.insert(lane);
                good.push(batch.slot(i));
            }
        }
        if !self.may_publish(now) || !self.breaker.is_closed() {
            // Since it was asked for, the lease grew old or the broker went away.
            good.clear();
        }
        let launched: HashSet<Lane> = good.iter().map(|slot| self.lane_of(&slot.message())).collect();
        let ended: Vec<Lane> = batch.iter().map(|m| self.lane_of(&m)).filter(|lane| !launched.contains(lane)).collect();
        ended.into_iter().for_each(|lane| self.attempt_ended(lane, now));
        if good.is_empty() {
            if probe {
                self.parking.destinations.probes_ended();
            }
            return None;
        }
        let batch = Batch::from_slots(good);
        self.window.add(batch.len(), batch.bytes());
        Some(self.launch(batch, true, probe))
    }

    /// Behind what its key has parked, at once due.
    pub(super) fn park_behind(&mut self, m: &MessageRef<'_>, now: Instant) {
        let rule = self.policy.rules.of(m.event_type());
        let maybe_sent = self.maybe_sent.remove(m.seq());
        let parked = Parked { maybe_sent, ..Parked::untried(lane(m), m.key(), rule, now) };
        self.park(m, parked, now, size(m), 0);
        self.supersede(lane(m), now);
    }

    /// `after_flight`: publishes with a lower number may still carry messages of its key.
    pub(super) fn park(&mut self, m: &MessageRef<'_>, parked: Parked, now: Instant, size: Size, after_flight: u64) {
        self.plan.park(self.to_store(m.seq(), &parked, now), size);
        self.parking.park(m.seq(), parked, after_flight);
    }

    /// New figures of one that is parked.
    pub(super) fn repark(&mut self, seq: i64, parked: Parked, now: Instant) {
        self.plan.park(self.to_store(seq, &parked, now), Size::default());
        self.parking.park(seq, parked, 0);
    }

    /// Gives a message of the log up; its key waits until that is settled.
    pub(super) fn bury(&mut self, m: &MessageRef<'_>, reason: String, attempts: u32) {
        self.dead(m, reason, attempts, m.key_hash(), size(m));
    }

    /// Gives a parked message up; so does what it held wait.
    pub(super) fn bury_parked(&mut self, m: &MessageRef<'_>) {
        let Some(parked) = self.parking.get(m.seq()).cloned() else { return };
        let reason = parked.error.unwrap_or_else(|| "no attempt was left".into());
        let key = match parked.lane {
            Lane::Key(hash) => Some(hash),
            Lane::Alone(_) => None,
        };
        self.parking.remove(m.seq());
        self.dead(m, reason, parked.attempts, key, Size::default());
    }

    fn dead(&mut self, m: &MessageRef<'_>, reason: String, attempts: u32, key: Option<u64>, size: Size) {
        self.counts.dead += 1;
        let born = RelayEvent::DeadLetter {
            id: m.id(),
            topic: m.topic().to_owned(),
            key: m.key().map(str::to_owned),
            event_type: m.event_type().to_owned(),
            reason: reason.clone(),
            attempts,
        };
        self.plan.dead(DeadLetter { seq: m.seq(), reason, attempts }, key, size, born);
        if let Some(hash) = key {
            self.hold(hash);
        }
    }

    fn hold(&mut self, hash: u64) {
        let key = self.keys.entry(hash).or_insert(Key::new(KeyState::Busy));
        if key.state != KeyState::Held {
            key.state = KeyState::Held;
            self.held += 1;
        }
    }

    fn to_store(&self, seq: i64, parked: &Parked, now: Instant) -> ParkedMessage {
        let held = parked.hold.and_then(|hold| self.parking.destinations.reason(hold));
        let due = held.map_or(parked.due, |(_, until)| until.max(parked.due));
        ParkedMessage {
            seq,
            key: parked.key.clone(),
            attempts: parked.attempts,
            due_in: due.saturating_duration_since(now),
            last_error: held.map(|(error, _)| error.to_owned()).or_else(|| parked.error.clone()),
        }
    }
}

/// Whether the settlement of a dead letter is waited for.
fn is_held(keys: &HashMap<u64, Key>, lane: Lane) -> bool {
    matches!(lane, Lane::Key(hash) if keys.get(&hash).is_some_and(|key| key.state == KeyState::Held))
}

pub(super) fn lane(m: &MessageRef<'_>) -> Lane {
    m.key_hash().map_or(Lane::Alone(m.seq()), Lane::Key)
}

pub(super) fn size(m: &MessageRef<'_>) -> Size {
    Size { messages: 1, bytes: m.size() }
}
