//! The transport of one process: hands messages to the broker, and says what it hears.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_core::{Batch, KeyOrder, Outcomes, Transport, TransportCapabilities, async_trait};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::book::Who;
use crate::broker::{Fate, slowed};
use crate::destinations::{Publish, Said, topic};
use crate::mutants::Mutant;
use crate::plan::Fault;
use crate::world::Sim;

pub(crate) struct SimTransport {
    sim: Sim,
    who: Who,
}

/// One `publish`.
#[derive(Clone)]
pub(crate) struct Call {
    sim: Sim,
    pub(crate) who: Who,
    pub(crate) number: u64,
    /// When it began, and how often anyone had acquired by then.
    began: u64,
    acquisition: u64,
    out: Outcomes,
    messages: Vec<Named>,
    /// Nobody listens any more.
    over: Arc<AtomicBool>,
}

impl SimTransport {
    pub(crate) fn new(sim: &Sim, who: Who) -> Self {
        Self { sim: sim.clone(), who }
    }

    fn begin(&self, batch: &Batch, out: &Outcomes) -> Call {
        let name = |m: outbox_core::MessageRef<'_>| {
            let message = m.id().as_uuid().as_u128() as u32;
            (m.index(), message, m.key().and_then(|k| k[1..].parse().ok()))
        };
        let messages: Vec<_> = batch.iter().map(name).collect();
        let mut world = self.sim.lock();
        let named: Vec<u32> = messages.iter().map(|m| m.1).collect();
        world.book.handed_over(self.who, &named);
        let number = world.broker.next_publish(self.who);
        world.note(format!("{} publishes {named:?} as #{number}", self.who));
        let acquisition = world.book.holder.map_or(0, |(_, n)| n);
        let began = world.now();
        let topics: Vec<u8> = messages.iter().map(|m| topic(m.1, m.2)).collect();
        // Where it panics, pieces of a publish are published as well.
        if !self.sim.plan.faults.iter().any(|f| matches!(f, Fault::Panic { .. })) {
            world.begins(Publish { who: self.who, number, acquisition }, &topics);
        }
        let (out, over) = (out.clone(), Arc::default());
        Call { sim: self.sim.clone(), who: self.who, number, began, acquisition, out, messages, over }
    }

    /// The message on which it panics, if there is one.
    fn bomb(&self, call: &Call) -> Option<u32> {
        let bomb = |fault: &Fault| match *fault {
            Fault::Panic { message, until } if call.began < until => Some(message),
            _ => None,
        };
        self.sim.faults(bomb).find(|bomb| call.messages.iter().any(|m| m.1 == *bomb))
    }
}

impl fmt::Debug for SimTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTransport").field("who", &self.who).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for SimTransport {
    fn capabilities(&self) -> TransportCapabilities {
        let many = self.sim.plan.setup.gapless || self.sim.is(Mutant::TwoInFlight);
        TransportCapabilities::new().key_order(if many { KeyOrder::Gapless } else { KeyOrder::OneInFlight })
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let call = self.begin(&batch, out);
        if let Some(bomb) = self.bomb(&call) {
            call.blow_up(bomb);
        }
        let mut guard = Guard { call: call.clone(), done: false };
        let answers: Vec<_> = call.groups().into_iter().map(|group| call.clone().send(group)).collect();
        for answer in answers {
            if answer.await.is_err() {
                // Nothing is ever heard of some of them.
                pending::<()>().await;
            }
        }
        guard.done = true;
    }
}

/// Its place in the batch, the message, its key.
type Named = (usize, u32, Option<u8>);
type Group = (u64, Vec<Named>);

impl Call {
    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// What travels together, and how much longer than usual.
    fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        for m in &self.messages {
            groups.entry(slowed(&self.sim, self.began, m.2)).or_default().push(*m);
        }
        groups.into_iter().collect()
    }

    /// Hands a group to the broker; the answer comes when all of it was answered.
    fn send(self, (slower, group): Group) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let delay = self.sim.plan.setup.delay;
        let (arrives, back) = {
            let mut world = self.sim.lock();
            let out = world.broker.random.below(delay + 1) + slower;
            let wanted = world.now() + out;
            let keys: Vec<_> = group.iter().map(|m| m.2).collect();
            let ordered = self.sim.plan.setup.gapless;
            let at = if ordered { world.broker.arrival(self.who, &keys, wanted) } else { wanted };
            (at, world.broker.random.below(delay + 1))
        };
        if self.sim.is(Mutant::SettleBeforeAck) {
            group.iter().for_each(|m| self.out.delivered(m.0));
        }
        tokio::spawn(async move {
            self.sim.until(arrives).await;
            let fates: Vec<Fate> = group.iter().map(|m| self.arrive(m.1, m.2)).collect();
            sleep(Duration::from_millis(back)).await;
            group.iter().zip(&fates).for_each(|(m, fate)| self.say(*m, *fate));
            let silent = |f: &Fate| matches!(f, Fate::Silent | Fate::StoredSilent | Fate::Late { answers: false });
            if !fates.iter().any(silent) {
                _ = answer.send(());
            }
        });
        answered
    }

    /// At the broker.
    fn arrive(&self, message: u32, key: Option<u8>) -> Fate {
        let mut world = self.sim.lock();
        let (fate, own) = world.arrives(&self.sim.plan, self.sim.mutant, self, message, key);
        if own {
            world.book.failed(message);
        }
        match fate {
            Fate::Stored | Fate::StoredUnknown | Fate::StoredSilent => world.store(message, key, ""),
            Fate::Late { .. } => {
                // Never later than the transport's deadline.
                let left = (self.began + self.sim.plan.setup.publish_deadline).saturating_sub(world.now());
                let wait = world.broker.random.below(left + 1);
                let sim = self.sim.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(wait)).await;
                    let mut world = sim.lock();
                    if !world.book.messages.get(&message).is_some_and(|m| m.rejected) {
                        world.store(message, key, ", late");
                    }
                });
            }
            Fate::Unknown | Fate::Rejected | Fate::NoDestination | Fate::Silent => {}
        }
        if fate != Fate::Stored {
            world.note(format!("m{message} of {}'s #{} ends {fate:?}", self.who, self.number));
        }
        fate
    }

    /// Back at the process.
    fn say(&self, (index, message, _): Named, fate: Fate) {
        match fate {
            Fate::Stored => {
                self.out.delivered(index);
                let mut world = self.sim.lock();
                world.book.answered(self.who);
                let now = world.book.holder.map_or(0, |(_, n)| n);
                if self.out.get(index) == Outcome::Delivered
                    && now == self.acquisition
                    && !self.is_over()
                    && !self.sim.is(Mutant::SettleBeforeAck)
                {
                    world.broker.answered(self.who, self.number);
                    if let Some(m) = world.book.messages.get_mut(&message) {
                        m.confirmed = true;
                    }
                }
            }
            Fate::StoredUnknown | Fate::Unknown => self.out.unknown(index, "no answer"),
            Fate::Late { answers: true } => self.out.unknown(index, "nobody knows"),
            Fate::Rejected => self.out.reject(index, "refused"),
            Fate::NoDestination => self.out.destination(index, "no such place"),
            Fate::Silent | Fate::StoredSilent | Fate::Late { answers: false } => {}
        }
    }

    /// Panics, after some of the messages before the one it is about were sent.
    fn blow_up(&self, bomb: u32) {
        let before: Vec<_> = self.messages.iter().take_while(|m| m.1 != bomb).copied().collect();
        let sent = {
            let mut world = self.sim.lock();
            world.book.disturb();
            world.note(format!("the transport of {} panics on m{bomb}", self.who));
            // Where the deadline ends the search for the one that did it, all that were not tried alone count as
            // failed.
            self.messages.iter().for_each(|m| world.book.failed(m.1));
            // With many in flight, what comes after must not pass what is left.
            let most = if self.sim.plan.setup.gapless { 0 } else { before.len() as u64 };
            world.broker.random.below(most + 1) as usize
        };
        for (_, message, key) in before.into_iter().take(sent) {
            self.arrive(message, key);
        }
        std::panic::resume_unwind(Box::new("the plan says so"));
    }
}

/// Notes what is to be noted when a publish ends, also by being dropped.
struct Guard {
    call: Call,
    done: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Call { sim, who, number, out, messages, over, .. } = &self.call;
        over.store(true, Ordering::Relaxed);
        let mut world = sim.lock();
        if !self.done {
            world.book.disturb();
        }
        let panics = sim.plan.faults.iter().any(|f| matches!(f, Fault::Panic { .. }));
        let answer = |m: &Named| matches!(out.get(m.0), Outcome::Delivered | Outcome::Destination(_));
        let answered = messages.iter().any(answer) || world.broker.passed(*who, *number);
        let ended = world.has_ended(*who);
        let publish = Publish { who: *who, number: *number, acquisition: self.call.acquisition };
        let next = world.broker.upcoming(*who);
        let said = messages.iter().map(|m| {
            let missing = matches!(out.get(m.0), Outcome::Destination(_));
            (topic(m.1, m.2), if missing { Said::Missing } else { Said::Else })
        });
        world.ends(publish, next, said);
        for (index, message, key) in messages {
            if out.get(*index) == Outcome::Delivered {
                if panics && !self.done {
                    // It was said to a piece of the batch that nobody asks any more.
                    world.book.messages.entry(*message).or_default().confirmed = false;
                }
                continue;
            }
            if matches!(out.get(*index), Outcome::Unknown(_)) {
                if answered {
                    world.book.failed(*message);
                } else if let Some(m) = world.book.messages.get_mut(message) {
                    m.suspect = Some(*who);
                }
            }
            if sim.plan.setup.gapless && !ended {
                // The relay looks at outcomes when a publish ends, not before. A client that is given up is discarded
                // with all that it had not sent.
                world.broker.heard(*who, *key, *message);
            }
        }
    }
}
