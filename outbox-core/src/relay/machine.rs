//! What a relay does under one lease, without I/O: events and a clock in, actions out.

mod destination;
mod dispatch;
mod isolation;
mod outcome;
mod rules;
mod unsure;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use super::breaker::Breaker;
use super::observer::RelayEvent;
use super::parking::Parking;
use super::plan::{Plan, Size};
use super::policy::{Policy, Random};
use crate::batch::hash;
use crate::{Batch, Crashes, KeyOrder, Limits, Note, ParkedMessage, Settlement, Slot, TransportCapabilities};
use isolation::{Isolation, Notes};
use unsure::Unsure;

/// What the shell is to do now; each ends in one event.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ends in [`Machine::fetched`].
    Fetch(usize),
    /// Ends in [`Machine::reread`].
    Read(Vec<i64>),
    /// Ends in [`Machine::published`]. `alone`: no other publish holds messages of its keys.
    Publish { id: u64, batch: Batch, alone: bool },
    /// Ends in [`Machine::settled`].
    Settle(Settlement),
    /// Ends in [`Machine::noted`].
    Note(Note),
}

/// How far a session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Until told to drain.
    Run,
    /// One fetch, and what came with it.
    Once,
    /// Until nothing is left.
    UntilDrained,
}

#[derive(Debug)]
pub(crate) struct Machine {
    policy: Policy,
    order: KeyOrder,
    limits: Limits,
    /// In flight at once, where nothing is isolated.
    publishes: usize,
    random: Random,
    mode: Mode,
    /// Handed out and not settled.
    window: Size,
    /// Messages that the window may hold now: after an error of the store one at first, and twice as many with every
    /// settlement, so that a store that takes none makes few duplicates however often it is tried.
    room: usize,
    /// Messages that are settled and that a crash would send again.
    repeats: u64,
    ready: VecDeque<Batch>,
    /// What an outage gave back, until its publishes have all ended.
    stalled: BTreeMap<i64, Slot>,
    keys: HashMap<u64, Key>,
    /// Keys in `Held`.
    held: usize,
    flights: BTreeMap<u64, Flight>,
    next_flight: u64,
    /// The latest publish of which something was delivered.
    last_good: Option<u64>,
    /// Parked heads whose retry alone failed of late: their own fault if what was handed over later goes through.
    suspects: Vec<i64>,
    /// The publish in which they failed.
    suspected_in: u64,
    /// Others failed as well since something was delivered: it is an outage.
    others_failed: bool,
    parking: Parking,
    /// The highest of what was parked at the takeover, until all before it that is not settled was handed out: that may
    /// be of the same key, and goes first.
    parked_before: Option<i64>,
    plan: Plan,
    breaker: Breaker,
    /// What the wall clock said at an instant, in microseconds since 1970.
    wall: (Instant, i64),
    /// To be told.
    events: Vec<RelayEvent>,
    maybe_sent: Unsure,
    fetching: bool,
    reading: bool,
    /// What is read are probes of topics.
    reading_probes: bool,
    fetch_at: Instant,
    empty_fetches: u32,
    fetched_once: bool,
    drained: bool,
    draining: bool,
    notes: Notes,
    isolation: Option<Isolation>,
    /// Why the transport went away, as it said first.
    pub(crate) outage: Option<String>,
    pub(crate) counts: Counts,
}

/// What a session finds.
#[derive(Debug, Default)]
pub(crate) struct Before {
    pub(crate) parked: Vec<ParkedMessage>,
    /// At the desk.
    pub(crate) paused_keys: Vec<String>,
    /// Of the processes before this one.
    pub(crate) crashes: Crashes,
    /// The session before this one ended with an error of the store: what this one hands out may be in vain too.
    pub(crate) failed: bool,
}

/// What happened since the session began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    pub(crate) dead: u64,
    pub(crate) outages: u64,
}

/// A key about which something has to be remembered.
#[derive(Debug)]
struct Key {
    state: KeyState,
    /// Handed out, in order, behind what the state is about.
    waiting: VecDeque<Slot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyState {
    /// One is in flight, and only one may be.
    Busy,
    /// Newcomers are parked behind what is parked.
    Parked,
    /// Newcomers wait until the settlement of a dead letter is confirmed.
    Held,
}

#[derive(Debug)]
struct Flight {
    batch: Batch,
    /// These were parked, and stay so until delivered.
    parked: bool,
    /// Of these, one each of topics that are held.
    probe: bool,
}

impl Machine {
    pub(crate) fn new(
        policy: Policy,
        transport: &TransportCapabilities,
        mode: Mode,
        before: Before,
        seed: u64,
        asked: Instant,
        now: Instant,
    ) -> Self {
        let Before { parked, paused_keys, crashes, failed } = before;
        let parked_before = parked.iter().map(|p| p.seq).max();
        let parking = Parking::load(parked, paused_keys.iter().map(|key| hash(key)), policy.outage, now);
        let mut machine = Self {
            order: transport.key_order,
            limits: transport.limits,
            publishes: transport.publishes,
            random: Random(seed),
            mode,
            window: Size::default(),
            room: if failed { 1 } else { policy.window_messages },
            repeats: 0,
            ready: VecDeque::new(),
            stalled: BTreeMap::new(),
            keys: parking.keys().map(|hash| (hash, Key::new(KeyState::Parked))).collect(),
            held: 0,
            flights: BTreeMap::new(),
            next_flight: 0,
            last_good: None,
            suspects: Vec::new(),
            suspected_in: 0,
            others_failed: false,
            plan: Plan::new(policy.lease, asked),
            breaker: Breaker::new(policy.outage),
            wall: (now, 0),
            events: Vec::new(),
            maybe_sent: Unsure::default(),
            fetching: false,
            reading: false,
            reading_probes: false,
            fetch_at: now,
            empty_fetches: 0,
            fetched_once: false,
            drained: false,
            draining: false,
            outage: None,
            notes: Notes::default(),
            isolation: None,
            counts: Counts::default(),
            parking,
            parked_before,
            policy,
        };
        machine.isolate(crashes);
        machine
    }

    /// There may be something new.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.fetch_at = self.fetch_at.min(now);
        self.empty_fetches = 0;
    }

    /// Hand out nothing more; finish what is in flight.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    pub(crate) fn is_finished(&self) -> bool {
        let quiet = self.flights.is_empty() && !self.fetching && !self.reading && self.plan.is_settled();
        let quiet = quiet && !self.is_noting();
        let empty = self.ready.is_empty() && self.stalled.is_empty() && self.window == Size::default();
        quiet
            && (self.draining
                || match self.mode {
                    Mode::Run => false,
                    Mode::Once => self.fetched_once && empty,
                    Mode::UntilDrained => self.drained && empty && self.parking.is_empty(),
                })
    }

    pub(crate) fn window(&self) -> Size {
        self.window
    }

    pub(crate) fn parked(&self) -> usize {
        self.parking.len()
    }

    /// How many topics are held.
    pub(crate) fn destinations_held(&self) -> usize {
        self.parking.destinations.len()
    }

    /// How many parked messages nothing happens to by itself.
    pub(crate) fn blocked(&self) -> usize {
        self.parking.blocked()
    }

    /// What happened since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<RelayEvent> {
        let mut events = self.parking.destinations.take_changes();
        events.append(&mut self.events);
        events
    }

    /// The wall clock now, in microseconds since 1970. Asked for only where messages can become too old.
    pub(crate) fn set_wall(&mut self, micros: i64, now: Instant) {
        self.wall = (now, micros);
    }

    pub(crate) fn breaker_closed(&self) -> bool {
        self.breaker.is_closed()
    }

    /// When [`next`](Self::next) may have something to do although nothing happened.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let fetch = self.may_fetch().then_some(self.fetch_at);
        let retries = self.breaker.is_closed() && !self.reading && !self.draining && self.parked_before.is_none();
        let parked = if retries { self.parking.next_due() } else { None };
        let probe = self.breaker.probe_at();
        [fetch, parked, probe, self.plan.due(self.hurry())].into_iter().flatten().min()
    }

    /// The next action, if there is one now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Action> {
        if self.plan.due(self.hurry()).is_some_and(|at| at <= now) {
            return Some(Action::Settle(self.plan.send(now)));
        }
        if let Some(action) = self.next_note() {
            return Some(action);
        }
        if let Some(action) = self.next_publish(now) {
            return Some(action);
        }
        if self.may_fetch() && self.fetch_at <= now {
            self.fetching = true;
            return Some(Action::Fetch(self.next_batch()));
        }
        self.next_retry(now)
    }

    fn may_fetch(&self) -> bool {
        let room = !self.is_full() && !self.is_scattered();
        let once = self.mode == Mode::Once && self.fetched_once;
        let few = self.parking.len() < self.policy.max_parked || self.parked_before.is_some();
        !self.fetching && !self.draining && !once && room && few
    }

    fn next_batch(&self) -> usize {
        self.policy.batch.min(self.room)
    }

    fn is_full(&self) -> bool {
        self.window.messages + self.next_batch() > self.room || self.window.bytes >= self.policy.window_bytes
    }

    /// Only what is handed out can be settled, and make it less.
    fn is_scattered(&self) -> bool {
        self.repeats > self.policy.window_messages as u64 && self.window.messages > 0
    }

    /// Whether settling sooner lets work go on.
    fn hurry(&self) -> bool {
        self.is_full() || self.held > 0 || ((self.draining || self.mode != Mode::Run) && self.flights.is_empty())
    }

    /// The settlement is confirmed; a crash would send so many messages again that are settled.
    pub(crate) fn settled(&mut self, repeats: u64, now: Instant) {
        self.repeats = repeats;
        let (size, dead) = self.plan.confirmed(now);
        self.window.sub(size);
        if size != Size::default() {
            self.room = self.room.saturating_mul(2).min(self.policy.window_messages);
        }
        if !dead.born.is_empty() {
            self.events.extend(dead.born);
            self.release_held(now);
        }
    }
}
