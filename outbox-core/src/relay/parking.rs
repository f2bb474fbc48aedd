//! Which messages wait for another attempt, and which wait behind them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::destinations::{Destinations, Hold};
use super::policy::Backoff;
use crate::ParkedMessage;
use crate::batch::hash;

/// What the relay remembers of a parked message; the store keeps the rest.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    pub(crate) lane: Lane,
    pub(crate) key: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) due: Instant,
    /// Its own; what it waits for has another.
    pub(crate) error: Option<String>,
    /// It is of a topic that was held when it was last looked at.
    pub(crate) hold: Option<Hold>,
    /// How often its topic failed for it when it was not held. Only the first release makes it due at once: a topic may
    /// be there for others.
    pub(crate) refused: u32,
    /// Some attempt may still arrive at the broker.
    pub(crate) maybe_sent: bool,
    /// No attempt is left: at `due` it becomes a dead letter.
    pub(crate) exhausted: bool,
}

/// What waits in line together: a key, or an unkeyed message by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lane {
    Key(u64),
    Alone(i64),
}

#[derive(Debug)]
struct Queue {
    seqs: BTreeSet<i64>,
    /// Read or in flight again.
    retrying: bool,
    /// Publishes with a lower number may still carry messages of this key.
    after_flight: u64,
}

#[derive(Debug)]
pub(crate) struct Parking {
    messages: BTreeMap<i64, Parked>,
    lanes: HashMap<Lane, Queue>,
    /// Due times of the heads that are not being retried, and do not wait for their topic.
    due: BTreeSet<(Instant, Lane)>,
    /// The same of the heads that have no attempt left.
    exhausted: BTreeSet<(Instant, Lane)>,
    /// Topics that failed, and the lanes whose heads wait for them.
    pub(crate) destinations: Destinations,
    /// The process before this one left messages whose topic failed.
    pub(crate) presumes: bool,
}

/// Where a lane waits that is not being retried.
enum Place {
    Due(Instant),
    Exhausted(Instant),
    Destination(Hold),
}

impl Parked {
    /// Whether, as it was left by the process before this one, its topic failed: that alone has a reason and costs no
    /// attempt.
    pub(crate) fn was_held(&self) -> bool {
        self.attempts == 0 && self.error.is_some() && self.hold.is_none()
    }
}

impl Parking {
    pub(crate) fn load(parked: Vec<ParkedMessage>, max_attempts: u32, outage: Backoff, now: Instant) -> Self {
        let (messages, lanes, due, exhausted) = Default::default();
        let destinations = Destinations::new(outage);
        let mut parking = Self { messages, lanes, due, exhausted, destinations, presumes: false };
        for p in parked {
            let lane = p.key.as_deref().map_or(Lane::Alone(p.seq), |k| Lane::Key(hash(k)));
            let message = Parked {
                lane,
                key: p.key,
                attempts: p.attempts,
                due: now + p.due_in,
                error: p.last_error,
                hold: None,
                refused: 0,
                maybe_sent: true, // by the process before this one, for all we know
                exhausted: p.attempts >= max_attempts,
            };
            parking.presumes |= message.was_held();
            parking.park(p.seq, message, 0);
        }
        parking
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
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

    /// The lanes that hold something, at a takeover.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = Lane> + '_ {
        self.lanes.keys().copied()
    }

    /// Parks a message, or gives a parked one new figures. Its lane is not tried again while a publish with a number
    /// below `after_flight` is in flight.
    pub(crate) fn park(&mut self, seq: i64, message: Parked, after_flight: u64) {
        let lane = message.lane;
        self.forget_due(lane);
        if let Some(hold) = message.hold {
            self.destinations.joined(hold);
        }
        if let Some(hold) = self.messages.insert(seq, message).and_then(|before| before.hold) {
            self.destinations.left(hold);
        }
        let queue = self.lanes.entry(lane).or_insert(Queue { seqs: BTreeSet::new(), retrying: false, after_flight: 0 });
        queue.seqs.insert(seq);
        queue.after_flight = queue.after_flight.max(after_flight);
        self.remember_due(lane);
    }

    /// It is parked no more. Says whether its lane is empty now.
    pub(crate) fn remove(&mut self, seq: i64) -> bool {
        let Some(message) = self.messages.get(&seq) else { return true };
        let lane = message.lane;
        self.forget_due(lane);
        if let Some(hold) = self.messages.remove(&seq).and_then(|m| m.hold) {
            self.destinations.left(hold);
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

    /// The lane's attempt ended, however it did.
    pub(crate) fn attempt_ended(&mut self, lane: Lane) {
        if let Some(queue) = self.lanes.get_mut(&lane) {
            queue.retrying = false;
            self.remember_due(lane);
        }
    }

    pub(crate) fn mark_maybe_sent(&mut self, seq: i64) {
        if let Some(message) = self.messages.get_mut(&seq) {
            message.maybe_sent = true;
        }
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

    pub(crate) fn set_failure(&mut self, seq: i64, error: String, attempts: u32) {
        if let Some(message) = self.messages.get_mut(&seq) {
            message.error = Some(error);
            message.attempts = attempts;
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        let first = [self.due.first(), self.exhausted.first()];
        first.into_iter().flatten().map(|(at, _)| *at).chain(self.destinations.next_probe()).min()
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
        chosen.into_iter().for_each(|lane| self.take(lane, 1, &mut taken));
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
            self.take(lane, run, &mut taken);
        }
        taken
    }

    /// The first of a lane that have attempts left.
    fn take(&mut self, lane: Lane, run: usize, into: &mut Vec<i64>) {
        self.forget_due(lane);
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        queue.retrying = true;
        let ready = |seq: &i64| self.messages.get(seq).is_some_and(|m| !m.exhausted);
        into.extend(queue.seqs.iter().copied().take(run).take_while(ready));
    }

    /// Heads that are due and have no attempt left.
    pub(crate) fn take_exhausted(&self, now: Instant) -> Vec<i64> {
        let lanes = self.exhausted.iter().take_while(|(at, _)| *at <= now);
        lanes.filter_map(|(_, lane)| self.head(*lane)).collect()
    }

    fn head(&self, lane: Lane) -> Option<i64> {
        self.lanes.get(&lane).and_then(|q| q.seqs.first().copied())
    }

    fn place(&self, lane: Lane) -> Option<Place> {
        let queue = self.lanes.get(&lane).filter(|queue| !queue.retrying)?;
        let head = self.messages.get(queue.seqs.first()?)?;
        Some(match head.hold {
            _ if head.exhausted => Place::Exhausted(head.due),
            Some(hold) if self.destinations.holds(hold) => Place::Destination(hold),
            _ => Place::Due(head.due),
        })
    }

    fn forget_due(&mut self, lane: Lane) {
        match self.place(lane) {
            Some(Place::Due(at)) => _ = self.due.remove(&(at, lane)),
            Some(Place::Exhausted(at)) => _ = self.exhausted.remove(&(at, lane)),
            Some(Place::Destination(hold)) => self.destinations.waits(hold, lane, false),
            None => {}
        }
    }

    fn remember_due(&mut self, lane: Lane) {
        match self.place(lane) {
            Some(Place::Due(at)) => _ = self.due.insert((at, lane)),
            Some(Place::Exhausted(at)) => _ = self.exhausted.insert((at, lane)),
            Some(Place::Destination(hold)) => self.destinations.waits(hold, lane, true),
            None => {}
        }
    }
}
