//! Topics that the broker does not have or refuses. Their messages wait, and one of them shows from time to time whether
//! the topic is there by now.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::observer::RelayEvent;
use super::parked::Lane;
use super::policy::{Backoff, Random};

/// One hold of a topic, which parked messages remember instead of its name. A topic that is held again gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hold(u32);

#[derive(Debug)]
pub(crate) struct Destinations {
    backoff: Backoff,
    /// Every topic that was held under this lease, and its hold if it is now.
    topics: HashMap<Arc<str>, Option<Hold>>,
    holds: BTreeMap<Hold, Held>,
    next: u32,
    /// Probes are read or in flight: all that are due at once, in one publish, so that slow ones take one place.
    probing: bool,
    changes: Vec<RelayEvent>,
}

#[derive(Debug)]
struct Held {
    topic: Arc<str>,
    error: String,
    /// In a row.
    failures: u32,
    until: Instant,
    /// Lanes whose head waits for this topic.
    lanes: BTreeSet<Lane>,
    /// The lane of the latest probe: the next one is of another.
    last: Option<Lane>,
    /// Parked messages that are known to be of it.
    messages: usize,
}

impl Destinations {
    pub(crate) fn new(backoff: Backoff) -> Self {
        let (topics, holds, changes) = Default::default();
        Self { backoff, topics, holds, next: 0, probing: false, changes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.holds.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.holds.len()
    }

    /// The hold of a topic.
    pub(crate) fn of(&self, topic: &str) -> Option<Hold> {
        self.topics.get(topic).copied().flatten()
    }

    pub(crate) fn holds(&self, hold: Hold) -> bool {
        self.holds.contains_key(&hold)
    }

    /// Why the topic is held, and until when at least.
    pub(crate) fn reason(&self, hold: Hold) -> Option<(&str, Instant)> {
        self.holds.get(&hold).map(|held| (&*held.error, held.until))
    }

    /// The topic failed. Failures of publishes that were in flight together are one.
    pub(crate) fn failed(&mut self, topic: &str, error: &str, now: Instant, random: &mut Random) -> Hold {
        self.of(topic).unwrap_or_else(|| {
            let until = now + self.backoff.after(1, random.next());
            self.add(topic, error, 1, until)
        })
    }

    /// The process before this one held the topic, and nothing was tried under this lease yet: a probe will show.
    pub(crate) fn presume(&mut self, topic: &str, error: &str, now: Instant) -> Option<Hold> {
        (!self.topics.contains_key(topic)).then(|| self.add(topic, error, 0, now))
    }

    fn add(&mut self, topic: &str, error: &str, failures: u32, until: Instant) -> Hold {
        let (topic, hold): (Arc<str>, _) = (topic.into(), Hold(self.next));
        self.next = self.next.wrapping_add(1);
        self.topics.insert(topic.clone(), Some(hold));
        self.changes.push(RelayEvent::DestinationHeld { topic: topic.to_string(), error: error.to_owned() });
        let (lanes, last, messages) = Default::default();
        self.holds.insert(hold, Held { topic, error: error.to_owned(), failures, until, lanes, last, messages });
        hold
    }

    /// A probe failed.
    pub(crate) fn failed_again(&mut self, hold: Hold, error: Option<&str>, now: Instant, random: &mut Random) {
        let Some(held) = self.holds.get_mut(&hold) else { return };
        held.failures = held.failures.saturating_add(1);
        held.until = now + self.backoff.after(held.failures, random.next());
        if let Some(error) = error.filter(|error| **error != held.error) {
            error.clone_into(&mut held.error);
        }
    }

    /// The topic is there, or nothing waits for it any more. Gives the lanes whose heads waited.
    pub(crate) fn release(&mut self, hold: Hold) -> BTreeSet<Lane> {
        let Some(held) = self.holds.remove(&hold) else { return BTreeSet::new() };
        self.changes.push(RelayEvent::DestinationReleased { topic: held.topic.to_string() });
        self.topics.insert(held.topic, None);
        held.lanes
    }

    /// When the next probe is due, if one may be.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        let waiting = self.holds.values().filter(|held| !held.lanes.is_empty());
        if self.probing { None } else { waiting.map(|held| held.until).min() }
    }

    /// For each topic whose time has come one lane to probe it with, another one each time.
    pub(crate) fn choose(&mut self, now: Instant, max: usize, free: impl Fn(Lane) -> bool) -> Vec<Lane> {
        if self.probing {
            return Vec::new();
        }
        let mut chosen = Vec::new();
        for held in self.holds.values_mut().filter(|held| held.until <= now).take(max) {
            let after = held.last.map_or(Bound::Unbounded, Bound::Excluded);
            let mut round = held.lanes.range((after, Bound::Unbounded)).chain(&held.lanes).copied();
            if let Some(lane) = round.find(|lane| free(*lane)) {
                held.last = Some(lane);
                chosen.push(lane);
            }
        }
        self.probing = !chosen.is_empty();
        chosen
    }

    /// Nothing more is to be heard of the probes.
    pub(crate) fn probes_ended(&mut self) {
        self.probing = false;
    }

    /// The head of this lane waits for the topic from now on, or no more.
    pub(crate) fn waits(&mut self, hold: Hold, lane: Lane, waits: bool) {
        if let Some(held) = self.holds.get_mut(&hold) {
            _ = if waits { held.lanes.insert(lane) } else { held.lanes.remove(&lane) };
        }
    }

    /// One more parked message is known to be of the topic.
    pub(crate) fn joined(&mut self, hold: Hold) {
        if let Some(held) = self.holds.get_mut(&hold) {
            held.messages += 1;
        }
    }

    /// One less is. A topic that nothing waits for is not held.
    pub(crate) fn left(&mut self, hold: Hold) {
        let Some(held) = self.holds.get_mut(&hold) else { return };
        held.messages = held.messages.saturating_sub(1);
        if held.messages == 0 {
            self.release(hold);
        }
    }

    /// What happened since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<RelayEvent> {
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::relay::policy::Jitter;

    const MS: Duration = Duration::from_millis(1);

    fn held(topic: &str, now: Instant) -> (Destinations, Hold, Random) {
        let mut destinations = Destinations::new(Backoff { first: MS, max: 8 * MS, jitter: Jitter::None });
        let mut random = Random(7);
        let hold = destinations.failed(topic, "no such topic", now, &mut random);
        (destinations, hold, random)
    }

    #[test]
    fn each_probe_takes_another_lane_and_the_wait_doubles() {
        let now = Instant::now();
        let (mut all, hold, mut random) = held("a", now);
        (1..=3).for_each(|key| all.waits(hold, Lane::Key(key), true));
        let (mut at, mut lanes, mut waits) = (now, Vec::new(), Vec::new());
        for _ in 0..6 {
            let due = all.next_probe().expect("one is due");
            waits.push((due - at).as_millis());
            at = due;
            assert!(all.choose(due - MS / 2, 10, |_| true).is_empty(), "it is not due yet");
            lanes.extend(all.choose(at, 10, |_| true));
            assert_eq!((all.next_probe(), all.choose(at, 10, |_| true)), (None, vec![]), "one at a time");
            all.probes_ended();
            all.failed_again(hold, None, at, &mut random);
        }
        assert_eq!(lanes, [1, 2, 3, 1, 2, 3].map(Lane::Key));
        assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
    }

    #[test]
    fn a_lane_that_is_not_free_is_passed_over() {
        let now = Instant::now();
        let (mut all, hold, _) = held("a", now);
        (1..=2).for_each(|key| all.waits(hold, Lane::Key(key), true));
        assert_eq!(all.choose(now + MS, 10, |lane| lane == Lane::Key(2)), [Lane::Key(2)]);
    }

    #[test]
    fn failures_that_were_in_flight_together_are_one() {
        let now = Instant::now();
        let (mut all, hold, mut random) = held("a", now);
        all.waits(hold, Lane::Key(1), true);
        assert_eq!(all.failed("a", "no such topic", now + MS / 2, &mut random), hold);
        assert_eq!((all.next_probe(), all.take_changes().len()), (Some(now + MS), 1));
    }

    #[test]
    fn a_topic_is_presumed_to_be_missing_only_before_anything_was_heard_of_it() {
        let now = Instant::now();
        let (mut all, hold, _) = held("a", now);
        assert_eq!(all.presume("a", "no such topic", now), None, "it is held");
        all.release(hold);
        assert_eq!((all.presume("a", "no such topic", now), all.of("a"), all.len()), (None, None, 0));
        let presumed = all.presume("b", "no such topic", now);
        assert!(presumed.is_some() && presumed == all.of("b"));
    }

    #[test]
    fn a_topic_that_nothing_waits_for_is_not_held() {
        let (mut all, hold, _) = held("a", Instant::now());
        (0..2).for_each(|_| all.joined(hold));
        all.left(hold);
        assert!(all.holds(hold));
        all.left(hold);
        assert!(all.is_empty());
        let released = RelayEvent::DestinationReleased { topic: "a".into() };
        assert_eq!(all.take_changes().pop(), Some(released));
    }
}
