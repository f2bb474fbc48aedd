//! The broker: a log of each key, and what it does to a message that arrives.

use std::collections::{BTreeMap, BTreeSet};

use crate::book::Who;
use crate::destinations::topic;
use crate::mutants::Mutant;
use crate::plan::{Away, Fault, Plan};
use crate::random::Random;
use crate::transport::Call;
use crate::world::{Sim, World};

#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) random: Random,
    /// Every copy, in order.
    pub(crate) stored: Vec<(u32, Option<u8>)>,
    clients: BTreeMap<Who, Client>,
}

/// What is remembered of one client.
#[derive(Debug, Default)]
struct Client {
    publishes: u64,
    /// The latest publish of which something was acknowledged.
    answered: Option<u64>,
    broken: BTreeMap<Option<u8>, Broken>,
    /// Nothing of the key arrives earlier than this.
    arrivals: BTreeMap<Option<u8>, u64>,
}

/// A key of which something was not stored, where many may be in flight.
#[derive(Debug, Default)]
struct Broken {
    /// Publishes below this number store no more of it.
    before: u64,
    /// Nor does any other until the client has heard of these.
    unheard: BTreeSet<u32>,
}

/// What the broker does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    /// Stored, and the client is told that nobody knows.
    StoredUnknown,
    /// Not stored, and the client is told that nobody knows.
    Unknown,
    Rejected,
    NoDestination,
    /// Stored; no answer.
    StoredSilent,
    /// Not stored; no answer.
    Silent,
    /// Stored later; told that nobody knows, or not at all.
    Late {
        answers: bool,
    },
}

/// A fate, and whether it is the message's own.
pub(crate) type Verdict = (Fate, bool);

impl Broker {
    pub(crate) fn new(seed: u64) -> Self {
        let (stored, clients) = Default::default();
        Self { random: Random::new(seed, 7), stored, clients }
    }

    pub(crate) fn next_publish(&mut self, who: Who) -> u64 {
        let client = self.clients.entry(who).or_default();
        client.publishes += 1;
        client.publishes
    }

    pub(crate) fn answered(&mut self, who: Who, publish: u64) {
        let client = self.clients.entry(who).or_default();
        client.answered = client.answered.max(Some(publish));
    }

    /// Whether a later publish was answered.
    pub(crate) fn passed(&self, who: Who, publish: u64) -> bool {
        self.clients.get(&who).is_some_and(|c| c.answered > Some(publish))
    }

    /// When messages of these keys arrive: one after the other, as they were handed over.
    pub(crate) fn arrival(&mut self, who: Who, keys: &[Option<u8>], wanted: u64) -> u64 {
        let arrivals = &mut self.clients.entry(who).or_default().arrivals;
        let after = keys.iter().filter_map(|key| arrivals.get(key)).max().map_or(0, |at| at + 1);
        let at = wanted.max(after);
        keys.iter().for_each(|key| _ = arrivals.insert(*key, at));
        at
    }

    /// No message of the key is stored any more, until the client hears of this one.
    fn break_key(&mut self, who: Who, key: Option<u8>, message: u32) {
        self.clients.entry(who).or_default().broken.entry(key).or_default().unheard.insert(message);
    }

    /// The number of the next publish.
    pub(crate) fn upcoming(&self, who: Who) -> u64 {
        self.clients.get(&who).map_or(0, |c| c.publishes) + 1
    }

    /// The client has heard: what is handed over from now on may be stored again.
    pub(crate) fn heard(&mut self, who: Who, key: Option<u8>, message: u32) {
        let client = self.clients.entry(who).or_default();
        let broken = client.broken.entry(key).or_default();
        broken.unheard.remove(&message);
        broken.before = client.publishes + 1;
    }

    fn is_broken(&self, who: Who, key: Option<u8>, publish: u64) -> bool {
        let broken = self.clients.get(&who).and_then(|c| c.broken.get(&key)).filter(|_| key.is_some());
        broken.is_some_and(|b| publish < b.before || !b.unheard.is_empty())
    }
}

impl World {
    pub(crate) fn store(&mut self, message: u32, key: Option<u8>, how: &str) {
        self.broker.stored.push((message, key));
        let copies = self.book.stored(message);
        let key = key.map_or("-".to_owned(), |k| format!("k{k}"));
        self.note(format!("broker stores m{message} of {key}{how}{}", if copies > 1 { ", again" } else { "" }));
    }

    /// What becomes of a message that arrives now.
    pub(crate) fn arrives(
        &mut self,
        plan: &Plan,
        mutant: Option<Mutant>,
        call: &Call,
        message: u32,
        key: Option<u8>,
    ) -> Verdict {
        let (who, publish) = (call.who, call.number);
        let now = self.now();
        let gapless = plan.setup.gapless;
        let fate = if gapless && self.broker.is_broken(who, key, publish) {
            (Fate::Unknown, false)
        } else {
            let fate = plan.faults.iter().find_map(|fault| suffers(fault, now, message, key));
            fate.or_else(|| self.lossy(plan, now)).unwrap_or((Fate::Stored, false))
        };
        if fate.0 != Fate::Stored {
            self.book.disturb();
        }
        let hears = !call.is_over() || self.has_ended(who);
        let overtaken = mutant == Some(Mutant::DestinationOvertaken) && fate.0 == Fate::NoDestination;
        if gapless && hears && !overtaken && !matches!(fate.0, Fate::Stored | Fate::Rejected) {
            self.broker.break_key(who, key, message);
        }
        if fate.0 == Fate::Rejected
            && let Some(m) = self.book.messages.get_mut(&message)
        {
            m.rejected = true;
        }
        fate
    }

    /// A lossy way decides for each message.
    fn lossy(&mut self, plan: &Plan, now: u64) -> Option<Verdict> {
        let percent = |fault: &Fault| match *fault {
            Fault::Lossy { from, until, percent } if (from..until).contains(&now) => Some(percent),
            _ => None,
        };
        let percent = plan.faults.iter().filter_map(percent).max()?;
        let all = [Fate::StoredUnknown, Fate::Unknown, Fate::Late { answers: true }, Fate::StoredSilent];
        let random = &mut self.broker.random;
        random.chance(percent).then(|| (random.pick(&all), true))
    }
}

/// What a fault that is going on does to a message.
fn suffers(fault: &Fault, now: u64, message: u32, key: Option<u8>) -> Option<Verdict> {
    match *fault {
        Fault::Outage { from, until, how } if (from..until).contains(&now) => Some(match how {
            Away::Refuses => (Fate::Unknown, false),
            Away::Silent => (Fate::Silent, false),
            Away::Mute => (Fate::StoredSilent, false),
            Away::Late => (Fate::Late { answers: false }, false),
        }),
        Fault::Poison { message: m, until } if m == message && until.is_none_or(|until| now < until) => {
            Some((Fate::Rejected, true))
        }
        Fault::NoDestination { topic: t, from, until } if topic(message, key) == t && (from..until).contains(&now) => {
            Some((Fate::NoDestination, false))
        }
        Fault::Failing { message: m, until } if m == message && now < until => Some((Fate::Unknown, true)),
        _ => None,
    }
}

/// How much longer a message of the key is on its way, in milliseconds.
pub(crate) fn slowed(sim: &Sim, now: u64, key: Option<u8>) -> u64 {
    let slow = |fault: &Fault| match *fault {
        Fault::SlowKey { key: k, from, until, delay } if key == Some(k) && (from..until).contains(&now) => Some(delay),
        _ => None,
    };
    sim.faults(slow).max().unwrap_or(0)
}
