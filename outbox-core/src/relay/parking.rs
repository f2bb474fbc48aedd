//! Which messages wait for another attempt, and which wait behind them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use super::destinations::{Destinations, Hold};
use super::parked::{Fate, Lane, Parked};
use super::policy::{Backoff, Rule};
use crate::ParkedMessage;
use crate::batch::hash;

#[derive(Debug)]
struct Queue {
    seqs: BTreeSet<i64>,
    /// Read or in flight again.
    retrying: bool,
    /// Publishes with a lower number may still carry messages of this key.
    after_flight: u64,
}

/// As a number of a publish: messages of the key are ready to be handed over, and do not have one yet.
pub(crate) const READY: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Parking {
    messages: BTreeMap<i64, Parked>,
    lanes: HashMap<Lane, Queue>,
    /// Due times of the heads that are not being retried, and do not wait for their topic.
    due: BTreeSet<(Instant, Lane)>,
    /// Messages that nothing happens to by itself.
    blocked: usize,
    /// Lanes of which something may be ready to be handed over.
    ready: Vec<Lane>,
    /// Topics that failed, and the lanes whose heads wait for them.
    pub(crate) destinations: Destinations,
    /// Keys that were paused at the desk.
    paused: HashSet<u64>,
    /// The process before this one left messages whose topic failed.
    pub(crate) presumes: bool,
}

/// Where a lane waits that is not being retried.
enum Place {
    Due(Instant),
    Destination(Hold),
}

impl Parking {
    pub(crate) fn load(
        parked: Vec<ParkedMessage>,
        paused: impl Iterator<Item = u64>,
        outage: Backoff,
        now: Instant,
    ) -> Self {
        let paused = paused.collect();
        let (messages, lanes, due) = Default::default();
        let destinations = Destinations::new(outage);
        let mut parking =
            Self { messages, lanes, due, blocked: 0, ready: Vec::new(), destinations, paused, presumes: false };
        for p in parked {
            let lane = p.key.as_deref().map_or(Lane::Alone(p.seq), |k| Lane::Key(hash(k)));
            let message = Parked {
                lane,
                key: p.key,
                attempts: p.attempts,
                due: now + p.due_in,
                error: p.last_error,
                said: None,
                hold: None,
                refused: 0,
                let_off: 0,
                maybe_sent: true, // by the process before this one, for all we know
                rule: None,
                fate: Fate::Retry,
            };
            parking.presumes |= message.was_held();
            parking.park(p.seq, message, 0);
        }
        parking
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many wait for somebody to say what becomes of them.
    pub(crate) fn blocked(&self) -> usize {
        self.blocked
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn get(&self, seq: i64) -> Option<&Parked> {
        self.messages.get(&seq)
    }

    pub(crate) fn holds(&self, lane: Lane) -> bool {
        self.lanes.contains_key(&lane)
    }

    /// Keys that newcomers have to wait for, at a takeover.
    pub(crate) fn keys(&self) -> impl Iterator<Item = u64> + '_ {
        let parked = self.lanes.keys().filter_map(|lane| match lane {
            Lane::Key(key) => Some(*key),
            Lane::Alone(_) => None,
        });
        parked.chain(self.paused.iter().copied())
    }

    /// Parks a message, or gives a parked one new figures. Its lane is not tried again while a publish with a number
    /// below `after_flight` is in flight.
    pub(crate) fn park(&mut self, seq: i64, message: Parked, after_flight: u64) {
        let lane = message.lane;
        self.forget_due(lane);
        if let Some(hold) = message.hold {
            self.destinations.joined(hold);
        }
        self.blocked += usize::from(message.fate == Fate::Block);
        if let Some(before) = self.messages.insert(seq, message) {
            self.forget(&before);
        }
        let queue = self.lanes.entry(lane).or_insert(Queue { seqs: BTreeSet::new(), retrying: false, after_flight: 0 });
        queue.seqs.insert(seq);
        queue.after_flight = queue.after_flight.max(after_flight);
        if after_flight == READY {
            self.ready.push(lane);
        }
        self.remember_due(lane);
    }

    /// Nothing is ready: all of it has a number below this one.
    pub(crate) fn handed_over(&mut self, next_flight: u64) {
        for lane in self.ready.drain(..) {
            if let Some(queue) = self.lanes.get_mut(&lane).filter(|queue| queue.after_flight == READY) {
                queue.after_flight = next_flight;
            }
        }
    }

    /// It is parked no more. Says whether its lane is empty now.
    pub(crate) fn remove(&mut self, seq: i64) -> bool {
        let Some(message) = self.messages.get(&seq) else { return true };
        let lane = message.lane;
        self.forget_due(lane);
        if let Some(before) = self.messages.remove(&seq) {
            self.forget(&before);
        }
        let Some(queue) = self.lanes.get_mut(&lane) else { return true };
        queue.seqs.remove(&seq);
        if queue.seqs.is_empty() {
            self.lanes.remove(&lane);
            return true;
        }
        self.remember_due(lane);
        false
    }

    fn forget(&mut self, before: &Parked) {
        self.blocked -= usize::from(before.fate == Fate::Block);
        if let Some(hold) = before.hold {
            self.destinations.left(hold);
        }
    }

    /// The lane's attempt ended, however it did.
    pub(crate) fn attempt_ended(&mut self, lane: Lane) {
        if let Some(queue) = self.lanes.get_mut(&lane) {
            queue.retrying = false;
            self.remember_due(lane);
        }
    }

    /// It was read, so its event type is known.
    pub(crate) fn set_rule(&mut self, seq: i64, rule: Rule) {
        if let Some(message) = self.messages.get_mut(&seq) {
            message.rule = Some(rule);
        }
    }

    /// An attempt ended in something that may have been an outage.
    pub(crate) fn stalled(&mut self, seq: i64, said: Option<String>) {
        if let Some(message) = self.messages.get_mut(&seq) {
            (message.maybe_sent, message.said) = (true, said);
        }
    }

    pub(crate) fn mark_maybe_sent(&mut self, seq: i64) {
        if let Some(message) = self.messages.get_mut(&seq) {
            message.maybe_sent = true;
        }
    }

    /// Whether the key was paused at the desk.
    pub(crate) fn is_paused(&self, key: u64) -> bool {
        self.paused.contains(&key)
    }

    /// Whether it is parked, and the first of its lane.
    pub(crate) fn is_head(&self, seq: i64) -> bool {
        self.messages.get(&seq).is_some_and(|m| self.head(m.lane) == Some(seq))
    }

    /// Whether some of it is read or in flight again.
    pub(crate) fn is_retrying(&self, lane: Lane) -> bool {
        self.lanes.get(&lane).is_some_and(|queue| queue.retrying)
    }

    /// The first of a lane.
    pub(crate) fn first_of(&self, lane: Lane) -> Option<i64> {
        self.head(lane)
    }

    /// Whether something waits behind the first of a lane.
    pub(crate) fn has_others(&self, lane: Lane) -> bool {
        self.lanes.get(&lane).is_some_and(|queue| queue.seqs.len() > 1)
    }

    pub(crate) fn set_failure(&mut self, seq: i64, error: String, attempts: u32) {
        if let Some(message) = self.messages.get_mut(&seq) {
            message.error = Some(error);
            message.attempts = attempts;
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at).into_iter().chain(self.destinations.next_probe()).min()
    }

    /// It is of a topic that is held. Its lane counts as retrying.
    pub(crate) fn learn(&mut self, seq: i64, hold: Hold) {
        let Some(message) = self.messages.get_mut(&seq) else { return };
        if message.was_held() {
            message.error = None;
        }
        self.destinations.joined(hold);
        if let Some(before) = message.hold.replace(hold) {
            self.destinations.left(before);
        }
    }

    /// The topic is there: what waited for it is due at once.
    pub(crate) fn release(&mut self, hold: Hold) {
        self.destinations.release(hold).into_iter().for_each(|lane| self.remember_due(lane));
    }

    /// Heads to probe topics with, at most one each; their lanes count as retrying from now on.
    pub(crate) fn take_probes(
        &mut self,
        now: Instant,
        max: usize,
        oldest_flight: u64,
        held: impl Fn(Lane) -> bool,
    ) -> Vec<i64> {
        let lanes = &self.lanes;
        let free = |lane| !held(lane) && lanes.get(&lane).is_some_and(|q| q.after_flight <= oldest_flight);
        let chosen = self.destinations.choose(now, max, free);
        let mut taken = Vec::new();
        chosen.into_iter().for_each(|lane| self.take(lane, 1, now, &mut taken));
        taken
    }

    /// Lanes whose head is due, each with up to `run` messages in order; they count as retrying from now on.
    pub(crate) fn take_due(
        &mut self,
        now: Instant,
        run: usize,
        max: usize,
        oldest_flight: u64,
        held: impl Fn(Lane) -> bool,
    ) -> Vec<i64> {
        let lanes = &self.lanes;
        let free = |lane: &Lane| !held(*lane) && lanes.get(lane).is_some_and(|q| q.after_flight <= oldest_flight);
        let due = self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, lane)| *lane);
        let due: Vec<Lane> = due.filter(free).take(max).collect();
        let mut taken = Vec::new();
        for lane in due {
            if taken.len() >= max {
                break;
            }
            self.take(lane, run, now, &mut taken);
        }
        taken
    }

    /// The first of a lane, and what may be tried right behind it: a paced replay makes messages due one by one.
    fn take(&mut self, lane: Lane, run: usize, now: Instant, into: &mut Vec<i64>) {
        self.forget_due(lane);
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        queue.retrying = true;
        let tried = |seq: &i64| self.messages.get(seq).is_some_and(|m| m.fate == Fate::Retry);
        let mut seqs = queue.seqs.iter().copied();
        let Some(first) = seqs.next() else { return };
        into.push(first);
        if tried(&first) {
            let due = |seq: &i64| self.messages.get(seq).is_some_and(|m| m.due <= now);
            into.extend(seqs.take(run - 1).take_while(|seq| tried(seq) && due(seq)));
        }
    }

    fn head(&self, lane: Lane) -> Option<i64> {
        self.lanes.get(&lane).and_then(|q| q.seqs.first().copied())
    }

    fn place(&self, lane: Lane) -> Option<Place> {
        let paused = matches!(lane, Lane::Key(key) if self.paused.contains(&key));
        let queue = self.lanes.get(&lane).filter(|queue| !queue.retrying && !paused)?;
        let head = self.messages.get(queue.seqs.first()?)?;
        match (head.fate, head.hold) {
            (Fate::Block, _) => None,
            (Fate::Retry, Some(hold)) if self.destinations.holds(hold) => Some(Place::Destination(hold)),
            _ => Some(Place::Due(head.due)),
        }
    }

    fn forget_due(&mut self, lane: Lane) {
        match self.place(lane) {
            Some(Place::Due(at)) => _ = self.due.remove(&(at, lane)),
            Some(Place::Destination(hold)) => self.destinations.waits(hold, lane, false),
            None => {}
        }
    }

    fn remember_due(&mut self, lane: Lane) {
        match self.place(lane) {
            Some(Place::Due(at)) => _ = self.due.insert((at, lane)),
            Some(Place::Destination(hold)) => self.destinations.waits(hold, lane, true),
            None => {}
        }
    }
}
