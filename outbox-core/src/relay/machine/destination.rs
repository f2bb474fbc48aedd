//! Messages of a topic that is held: parked without an attempt, and tried one at a time.

use std::time::Instant;

use super::dispatch::{lane, size};
use super::outcome::origin;
use super::{Key, KeyState, Machine};
use crate::relay::destinations::Hold;
use crate::relay::parked::{Fate, Lane, Origin, Parked};
use crate::relay::parking::READY;
use crate::relay::plan::Size;
use crate::transport::Outcome;
use crate::{Batch, KeyOrder, MessageRef};

impl Machine {
    /// The hold of a message's topic. Asks nothing where no topic is held.
    pub(super) fn hold_of(&self, m: &MessageRef<'_>) -> Option<Hold> {
        let destinations = &self.parking.destinations;
        if destinations.is_empty() { None } else { destinations.of(m.topic()) }
    }

    /// A message of the log whose topic is held is not tried.
    pub(super) fn park_for(&mut self, m: &MessageRef<'_>, hold: Hold, now: Instant) {
        let rule = self.policy.rules.of(m.event_type());
        let maybe_sent = self.maybe_sent.remove(m.seq());
        let entry = Parked { hold: Some(hold), maybe_sent, ..Parked::untried(lane(m), m.key(), rule, now) };
        self.park_key(m, entry, Origin::Ready, now);
    }

    /// The broker does not have the message's topic, or refuses us there: no attempt of the message.
    pub(super) fn refused(&mut self, m: &MessageRef<'_>, error: &str, parked: bool, probe: bool, now: Instant) {
        let hold = self.parking.destinations.failed(m.topic(), error, now, &mut self.random);
        let before = self.parking.get(m.seq());
        let refused = before.map_or(0, |p| p.refused) + u32::from(parked && !probe);
        let (attempts, let_off, error) = before.map_or((0, 0, None), |p| (p.attempts, p.let_off, p.error.clone()));
        let maybe_sent = before.is_some_and(|p| p.maybe_sent) || self.maybe_sent.remove(m.seq());
        let (lane, rule) = (self.lane_of(m), self.policy.rules.of(m.event_type()));
        let due = if refused == 0 { now } else { now + self.wait_after(refused, rule, Fate::Retry) };
        let key = m.key().filter(|_| matches!(lane, Lane::Key(_)));
        let untried = Parked::untried(lane, key, rule, now);
        let entry = Parked { attempts, let_off, due, error, hold: Some(hold), refused, maybe_sent, ..untried };
        if parked {
            self.window.sub(size(m));
        }
        self.park_key(m, entry, origin(parked), now);
    }

    /// Parks a message, and its key behind it.
    pub(super) fn park_key(&mut self, m: &MessageRef<'_>, entry: Parked, origin: Origin, now: Instant) {
        let size = if origin == Origin::Parked { Size::default() } else { size(m) };
        // Where many of a key may be in flight, others of this one may be, unless it was parked all the time.
        let flights = match (self.order, origin) {
            (KeyOrder::OneInFlight, _) | (_, Origin::Parked) => 0,
            (KeyOrder::Gapless, Origin::Flight) => self.next_flight,
            (KeyOrder::Gapless, Origin::Ready) => READY,
        };
        let lane = entry.lane;
        self.park(m, entry, now, size, flights);
        let Lane::Key(hash) = lane else { return };
        let key = self.keys.entry(hash).or_insert(Key::new(KeyState::Parked));
        if key.state == KeyState::Held {
            return;
        }
        key.state = KeyState::Parked;
        for slot in std::mem::take(&mut key.waiting) {
            self.park_behind(&slot.message(), now);
        }
    }

    /// Whether a parked message that was read again has to wait for its topic.
    pub(super) fn waits(&mut self, m: &MessageRef<'_>, now: Instant) -> bool {
        let hold = self.hold_of(m).or_else(|| {
            let left = self.parking.get(m.seq()).filter(|p| p.was_held())?;
            let error = left.error.clone()?;
            self.parking.destinations.presume(m.topic(), &error, now)
        });
        if let Some(hold) = hold {
            self.parking.learn(m.seq(), hold);
        }
        hold.is_some()
    }

    /// The probes of one publish ended.
    pub(super) fn probed(&mut self, batch: &Batch, said: &[Outcome], outage: bool, now: Instant) {
        let destinations = &mut self.parking.destinations;
        destinations.probes_ended();
        for (m, outcome) in batch.iter().zip(said) {
            let Some(hold) = self.parking.destinations.of(m.topic()) else { continue };
            let error = match outcome {
                Outcome::Delivered | Outcome::Rejected(_) => {
                    self.parking.release(hold);
                    continue;
                }
                // The breaker decides when to go on.
                Outcome::Unknown(_) if outage => continue,
                Outcome::Destination(error) => Some(error.as_str()),
                Outcome::Unknown(_) | Outcome::Panicked => None,
            };
            self.parking.destinations.failed_again(hold, error, now, &mut self.random);
        }
    }
}
