//! Which messages wait for another attempt, and which wait behind them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use crate::ParkedMessage;
use crate::batch::hash;

/// What the relay remembers of a parked message; the store keeps the rest.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    pub(crate) lane: Lane,
    pub(crate) key: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) due: Instant,
    pub(crate) error: Option<String>,
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

#[derive(Debug, Default)]
pub(crate) struct Parking {
    messages: BTreeMap<i64, Parked>,
    lanes: HashMap<Lane, Queue>,
    /// Due times of the heads that are not being retried.
    due: BTreeSet<(Instant, Lane)>,
}

impl Parking {
    pub(crate) fn load(parked: Vec<ParkedMessage>, max_attempts: u32, now: Instant) -> Self {
        let mut parking = Self::default();
        for p in parked {
            let lane = p.key.as_deref().map_or(Lane::Alone(p.seq), |k| Lane::Key(hash(k)));
            let message = Parked {
                lane,
                key: p.key,
                attempts: p.attempts,
                due: now + p.due_in,
                error: p.last_error,
                maybe_sent: true, // by the process before this one, for all we know
                exhausted: p.attempts >= max_attempts,
            };
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
        self.messages.insert(seq, message);
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
        self.messages.remove(&seq);
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
        self.due.first().map(|(at, _)| *at)
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
        let due: Vec<Lane> = self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, lane)| *lane).collect();
        let mut taken = Vec::new();
        for lane in due {
            if taken.len() >= max || held(lane) || self.lanes.get(&lane).is_none_or(|q| q.after_flight > oldest_flight)
            {
                continue;
            }
            self.forget_due(lane);
            let messages = &self.messages;
            let Some(queue) = self.lanes.get_mut(&lane) else { continue };
            let ready = |seq: &&i64| messages.get(seq).is_some_and(|m| !m.exhausted);
            taken.extend(queue.seqs.iter().take(run).take_while(ready));
            queue.retrying = true;
        }
        taken
    }

    /// Heads that are due and have no attempt left.
    pub(crate) fn take_exhausted(&self, now: Instant) -> Vec<i64> {
        let heads = self.due.iter().take_while(|(at, _)| *at <= now).filter_map(|(_, lane)| self.head(*lane));
        heads.filter(|seq| self.messages.get(seq).is_some_and(|m| m.exhausted)).collect()
    }

    fn head(&self, lane: Lane) -> Option<i64> {
        self.lanes.get(&lane).and_then(|q| q.seqs.first().copied())
    }

    fn head_due(&self, lane: Lane) -> Option<(Instant, Lane)> {
        let due = self.messages.get(&self.head(lane)?)?.due;
        (!self.lanes.get(&lane)?.retrying).then_some((due, lane))
    }

    fn forget_due(&mut self, lane: Lane) {
        if let Some(entry) = self.head_due(lane) {
            self.due.remove(&entry);
        }
    }

    fn remember_due(&mut self, lane: Lane) {
        if let Some(entry) = self.head_due(lane) {
            self.due.insert(entry);
        }
    }
}
