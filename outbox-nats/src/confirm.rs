//! From the acknowledgements of one client to the outcomes of the publishes that wait for them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_nats::{Event, Message, ServerError};
use outbox_core::transport::Outcome;
use tokio::sync::{Notify, Semaphore};

use crate::waiting::{Answer, Waiting};

/// How many low bits of a confirmation are the index in the batch.
const INDEX_BITS: u32 = 20;
/// So many messages are under way at most: fewer than the client keeps of answers that were not looked at (65,536).
const UNDER_WAY: usize = 32_768;

/// What one client's tasks share with its users.
#[derive(Debug)]
pub(crate) struct Confirmations {
    open: Mutex<Open>,
    /// Why nothing more may be sent by this client.
    dead: OnceLock<String>,
    died: Notify,
    /// What the server complained of last.
    complaint: Mutex<Option<String>>,
    answers: AtomicUsize,
    pub(crate) room: Semaphore,
    /// Nothing can be asked about streams: it is not permitted.
    mute: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    next: usize,
    publishes: HashMap<usize, Arc<Waiting>>,
    /// By key within a topic.
    held: HashMap<u64, Held>,
}

/// A key of which nothing more is sent, until the last publish has ended that was decided on before it was known what of
/// the key was not stored, or not sent for that.
#[derive(Debug)]
struct Held {
    last: usize,
    /// Publishes under way that hold such messages: known when they end.
    by: HashSet<usize>,
    /// What is said of its messages meanwhile.
    outcome: Outcome,
}

impl Confirmations {
    pub(crate) fn new() -> Self {
        Self {
            open: Mutex::default(),
            dead: OnceLock::new(),
            died: Notify::new(),
            complaint: Mutex::default(),
            answers: AtomicUsize::new(0),
            room: Semaphore::new(UNDER_WAY),
            mute: AtomicBool::new(false),
        }
    }

    /// Registers a publish. Gives what its messages carry, to be added to the index.
    pub(crate) fn expect(&self, waiting: Arc<Waiting>) -> usize {
        assert!(waiting.len() < 1 << INDEX_BITS, "a relay's batch has at most 10,000 messages");
        let mut open = self.open();
        open.next = open.next.wrapping_add(1 << INDEX_BITS);
        let publish = open.next;
        open.publishes.insert(publish, waiting);
        publish
    }

    /// Nobody waits for this publish any more.
    pub(crate) fn forget(&self, publish: usize) {
        let waiting = {
            let mut open = self.open();
            let Some(waiting) = open.publishes.remove(&publish) else { return };
            let Open { next, publishes, held } = &mut *open;
            held.retain(|_, held| {
                if held.by.remove(&publish) {
                    held.last = *next;
                }
                !held.by.is_empty() || publishes.keys().any(|under_way| *under_way <= held.last)
            });
            waiting
        };
        self.room.add_permits(waiting.unanswered());
    }

    /// Whether anyone still waits for a publish.
    pub(crate) fn is_idle(&self) -> bool {
        self.open().publishes.is_empty()
    }

    /// A message of this key and publish was not stored, but this was said of it. Until every publish has ended that is
    /// under way when this one ends, nothing more of the key is sent: what was not stored would come behind.
    pub(crate) fn hold(&self, key: u64, publish: usize, said: Outcome) {
        let outcome = match said {
            // No message to its topic can do better.
            Outcome::Destination(_) => said,
            _ => Outcome::Unknown(Some("an earlier message of its key was not stored".into())),
        };
        let mut open = self.open();
        let Open { next, publishes, held } = &mut *open;
        let held = held.entry(key).or_insert(Held { last: *next, by: HashSet::new(), outcome: outcome.clone() });
        held.last = *next;
        held.by.extend(publishes.contains_key(&publish).then_some(publish));
        if matches!(outcome, Outcome::Destination(_)) {
            held.outcome = outcome;
        }
    }

    pub(crate) fn holds(&self) -> bool {
        !self.open().held.is_empty()
    }

    /// What is to be said of a message of this key and publish, if it may not be sent.
    pub(crate) fn held(&self, key: u64, publish: usize) -> Option<Outcome> {
        let mut open = self.open();
        let Open { publishes, held, .. } = &mut *open;
        let held = held.get_mut(&key)?;
        held.by.extend(publishes.contains_key(&publish).then_some(publish));
        Some(held.outcome.clone())
    }

    /// How many answers there were.
    pub(crate) fn answers(&self) -> usize {
        self.answers.load(Ordering::Acquire)
    }

    /// Reports an answer: the last token of its subject is the confirmation. `latest` is the publish that was reported
    /// on last: answers come in runs.
    pub(crate) fn report(&self, message: &Message, prefix: usize, latest: &mut Option<(usize, Arc<Waiting>)>) {
        let Some(confirmation) = message.subject.get(prefix..).and_then(|token| token.parse::<usize>().ok()) else {
            return;
        };
        self.answers.fetch_add(1, Ordering::AcqRel);
        let index = confirmation & ((1 << INDEX_BITS) - 1);
        let publish = confirmation - index;
        if latest.as_ref().is_none_or(|(of, _)| *of != publish) {
            *latest = self.open().publishes.get(&publish).map(|waiting| (publish, waiting.clone()));
        }
        if let Some((_, waiting)) = latest {
            self.room.add_permits(waiting.answer(index, Answer::read(message)));
        }
    }

    /// What the server or the client says beside answers.
    pub(crate) fn event(&self, event: Event, api: &str) {
        match event {
            Event::Disconnected | Event::Closed => {
                let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take();
                let cause = complaint.map(|complaint| format!(": the server said {complaint:?}"));
                self.die(format!("the connection to NATS is lost{}", cause.unwrap_or_default()));
            }
            Event::ServerError(error) => {
                let text = match error {
                    ServerError::Other(text) => text,
                    other => other.to_string(),
                };
                tracing::warn!(error = text, "NATS complains");
                if let Some(subject) = quoted(&text, "Permissions Violation for Publish to ") {
                    if subject.strip_prefix(api).is_some_and(|rest| rest.starts_with('.')) {
                        self.mute.store(true, Ordering::Release);
                    }
                    self.open().publishes.values().for_each(|waiting| waiting.denied(subject));
                } else if text.starts_with("Permissions Violation for Subscription to ") {
                    self.die(format!("acknowledgements cannot be received: {text}; permit the inbox's subject"));
                } else {
                    *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                }
            }
            _ => {}
        }
    }

    /// Whether nothing can be asked about streams, because it is not permitted.
    pub(crate) fn is_mute(&self) -> bool {
        self.mute.load(Ordering::Acquire)
    }

    /// Sends nothing more. The first reason counts.
    pub(crate) fn die(&self, why: impl Into<String>) {
        if self.dead.set(why.into()).is_ok() {
            self.room.close();
            self.died.notify_waiters();
        }
    }

    /// Why nothing more may be sent.
    pub(crate) fn dead(&self) -> Option<&str> {
        self.dead.get().map(String::as_str)
    }

    /// Completes with the reason when nothing more may be sent.
    pub(crate) async fn died(&self) -> &str {
        loop {
            let mut died = std::pin::pin!(self.died.notified());
            died.as_mut().enable();
            if let Some(why) = self.dead() {
                return why;
            }
            died.await;
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands in quotes behind `start`.
fn quoted<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use outbox_core::Outcomes;

    use super::*;

    #[test]
    fn a_key_is_held_until_what_was_decided_on_before_that_was_known_has_ended() {
        let confirmations = Confirmations::new();
        let publish = || confirmations.expect(Arc::new(Waiting::new(&Outcomes::new(1))));
        let (first, waiting) = (publish(), publish());
        confirmations.hold(1, first, Outcome::Unknown(None));
        let said = confirmations.held(1, waiting);
        assert!(matches!(said, Some(Outcome::Unknown(Some(why))) if why.contains("earlier")));
        assert_eq!(confirmations.held(2, waiting), None);
        let missing = Outcome::Destination("no stream has it".into());
        confirmations.hold(1, first, missing.clone());
        confirmations.hold(1, first, Outcome::Unknown(None));
        let meanwhile = publish();
        confirmations.forget(first);
        confirmations.forget(waiting);
        assert_eq!(confirmations.held(1, meanwhile), Some(missing), "nobody knew of it yet");
        confirmations.forget(meanwhile);
        assert!(!confirmations.holds());
        confirmations.hold(1, meanwhile, Outcome::Unknown(None));
        confirmations.forget(publish());
        assert!(!confirmations.holds(), "what ended long ago holds nothing");
    }
}
