//! From the client's delivery reports to the outcomes of the publishes that wait for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outbox_core::Outcomes;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use tokio::sync::Notify;

use crate::error::{Fault, is_fatal};
use crate::keys::Keys;
use crate::token::Tokens;

/// How many low bits of a confirmation are the index in the batch.
const INDEX_BITS: u32 = 20;

/// A publish whose messages are with the client.
#[derive(Debug)]
pub(crate) struct Waiting {
    out: Outcomes,
    left: AtomicUsize,
    done: Notify,
}

impl Waiting {
    /// Completes when nothing is left to be reported.
    pub(crate) async fn done(&self) {
        // One waiter: a notification that came before it is kept.
        self.done.notified().await;
    }

    /// Nothing more is waited for: what was not said by now is unknown.
    pub(crate) fn give_up(&self, why: &str) {
        (0..self.out.len()).for_each(|i| self.out.unknown(i, why));
    }

    /// So many messages less to wait for.
    pub(crate) fn less(&self, messages: usize) {
        if messages > 0 && self.left.fetch_sub(messages, Ordering::AcqRel) == messages {
            self.done.notify_one();
        }
    }
}

/// What the callbacks of one client share with its user.
#[derive(Debug)]
pub(crate) struct Confirmations {
    open: Mutex<Open>,
    pub(crate) keys: Keys,
    /// Requests carry one message each, so that a refused request tells which.
    singly: bool,
    /// A whole request was refused for one message in it.
    refused: AtomicBool,
    /// Nothing more may be sent by this client: it has a fatal error, or a gap.
    dead: AtomicBool,
    died: Notify,
    /// What the client last complained of, such as a password that is refused, unless something was stored since.
    complaint: Mutex<Option<String>>,
    complained: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    next: usize,
    publishes: HashMap<usize, Arc<Waiting>>,
    /// The one that was reported on last: reports come in runs.
    latest: Option<(usize, Arc<Waiting>)>,
    failed: Vec<Failed>,
}

/// A topic to which nothing more is sent, until every publish has ended that may have been decided on before the relay
/// knew: it knows when the publish ends of which a message failed, or was not sent because another did.
#[derive(Debug)]
struct Failed {
    topic: String,
    /// These publishes.
    by: Vec<usize>,
    /// The latest that began before the last of them ended.
    last: usize,
}

impl Confirmations {
    /// `complaint`: that of the client before, which a new one needs time to find out again.
    pub(crate) fn new(singly: bool, complaint: Option<String>) -> Self {
        Self {
            open: Mutex::default(),
            keys: Keys::default(),
            singly,
            refused: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            died: Notify::new(),
            complained: AtomicBool::new(complaint.is_some()),
            complaint: Mutex::new(complaint),
        }
    }

    fn complain(&self, error: &KafkaError, reason: &str) {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        // It follows on what each broker failed with, and says less.
        if complaint.is_some() && error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
            return;
        }
        *complaint = Some(if reason.is_empty() { error.to_string() } else { reason.to_owned() });
        self.complained.store(true, Ordering::Release);
    }

    /// What the client last complained of, where nothing was stored since.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn nothing_to_complain_of(&self) {
        if self.complained.load(Ordering::Acquire) {
            *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.complained.store(false, Ordering::Release);
        }
    }

    /// Why messages are not known to be stored that the client still had.
    pub(crate) fn why(&self) -> String {
        match self.complaint() {
            Some(complaint) => format!("Kafka did not confirm it; its client says: {complaint}"),
            None => "Kafka did not confirm it in time".into(),
        }
    }

    /// The same for a message of which the client gave this error: one that was purged says nothing by itself.
    pub(crate) fn why_not(&self, error: &KafkaError) -> String {
        match error.rdkafka_error_code() {
            Some(Code::PurgeQueue | Code::PurgeInflight) => self.why(),
            _ => error.to_string(),
        }
    }

    /// Registers a publish of `out.len()` messages. Gives what its records carry, to be added to the index.
    pub(crate) fn expect(&self, out: &Outcomes) -> (usize, Arc<Waiting>) {
        assert!(out.len() < 1 << INDEX_BITS, "a relay's batch has at most 10,000 messages");
        let waiting = Waiting { out: out.clone(), left: AtomicUsize::new(out.len()), done: Notify::new() };
        let waiting = Arc::new(waiting);
        let mut open = self.open();
        open.next = open.next.wrapping_add(1 << INDEX_BITS);
        let first = open.next;
        open.publishes.insert(first, waiting.clone());
        (first, waiting)
    }

    /// Nobody waits for this publish any more.
    pub(crate) fn forget(&self, first: usize) {
        let mut open = self.open();
        let Open { next, publishes, failed, latest } = &mut *open;
        publishes.remove(&first);
        failed.iter_mut().filter(|failed| failed.by.contains(&first)).for_each(|failed| failed.last = *next);
        failed.retain(|failed| publishes.keys().any(|under_way| *under_way <= failed.last));
        latest.take_if(|(latest, _)| *latest == first);
    }

    /// Whether anyone still waits for a publish.
    pub(crate) fn is_idle(&self) -> bool {
        self.open().publishes.is_empty()
    }

    /// A message of this publish to this topic failed, or was not sent because another did. For a while nothing more is
    /// sent to it: what failed would come behind.
    pub(crate) fn topic_failed(&self, topic: &str, publish: usize) {
        let mut open = self.open();
        let last = open.next;
        match open.failed.iter_mut().find(|failed| failed.topic == topic) {
            Some(failed) => {
                failed.last = last;
                if !failed.by.contains(&publish) {
                    failed.by.push(publish);
                }
            }
            None => open.failed.push(Failed { topic: topic.to_owned(), by: vec![publish], last }),
        }
    }

    pub(crate) fn has_failed(&self, topic: &str) -> bool {
        self.open().failed.iter().any(|failed| failed.topic == topic)
    }

    /// Reports what became of one message.
    fn report(&self, confirmation: usize, result: Result<(), (&KafkaError, &str)>) {
        self.keys.answered(confirmation, result.is_ok());
        let index = confirmation & ((1 << INDEX_BITS) - 1);
        let waiting = self.find(confirmation - index);
        let out = waiting.as_ref().map(|waiting| &waiting.out);
        match result.map_err(|(e, topic)| (Fault::of(e), e, topic)) {
            Ok(()) => {
                self.nothing_to_complain_of();
                _ = out.map(|out| out.delivered(index));
            }
            Err((Fault::Destination, e, topic)) => {
                _ = out.map(|out| out.destination(index, e.clone()));
                if waiting.is_some() {
                    self.topic_failed(topic, confirmation - index);
                }
            }
            Err((Fault::Message, e, _)) if self.singly => {
                _ = out.map(|out| out.reject(index, e.clone()));
                self.die();
            }
            Err((fault, e, _)) => {
                _ = out.map(|out| out.unknown(index, self.why_not(e)));
                self.refused.fetch_or(fault == Fault::Message, Ordering::AcqRel);
                self.die();
            }
        }
        if let Some(waiting) = waiting {
            waiting.less(1);
        }
    }

    /// Nothing more may be sent by this client: something was not stored, and nothing may come in front of it. Says
    /// whether that is new.
    pub(crate) fn die(&self) -> bool {
        let new = !self.dead.swap(true, Ordering::AcqRel);
        self.died.notify_waiters();
        new
    }

    /// Whether nothing more may be sent by this client.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Completes when nothing more may be sent by this client.
    pub(crate) async fn died(&self) {
        let mut died = std::pin::pin!(self.died.notified());
        died.as_mut().enable();
        if !self.is_dead() {
            died.await;
        }
    }

    pub(crate) fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// No report comes any more: what was not reported stays unknown.
    pub(crate) fn end(&self) {
        let mut open = self.open();
        open.latest = None;
        open.publishes.drain().for_each(|(_, waiting)| waiting.done.notify_one());
    }

    fn find(&self, first: usize) -> Option<Arc<Waiting>> {
        let mut open = self.open();
        if open.latest.as_ref().is_none_or(|(latest, _)| *latest != first) {
            open.latest = open.publishes.get(&first).map(|waiting| (first, waiting.clone()));
        }
        open.latest.as_ref().map(|(_, waiting)| waiting.clone())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client calls.
#[derive(Clone)]
pub(crate) struct Callbacks {
    pub(crate) confirmations: Arc<Confirmations>,
    pub(crate) tokens: Option<Tokens>,
}

impl ClientContext for Callbacks {
    /// Asked for with the mechanism OAUTHBEARER only.
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let tokens = self.tokens.as_ref().ok_or("no source of tokens was given")?;
        tokens.ask().map_err(|e| e as _)
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if is_fatal(&error) {
            self.confirmations.die();
        }
        if error.rdkafka_error_code() == Some(Code::Authentication)
            && let Some(tokens) = &self.tokens
        {
            tokens.forget();
        }
        self.confirmations.complain(&error, reason);
        tracing::debug!(%error, reason, "Kafka's client");
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, confirmation: usize) {
        match result {
            Ok(_) => self.confirmations.report(confirmation, Ok(())),
            Err((e, message)) => self.confirmations.report(confirmation, Err((e, message.topic()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_topic_stays_closed_until_every_publish_has_ended_that_was_under_way() {
        let confirmations = Confirmations::new(false, None);
        let publish = || confirmations.expect(&Outcomes::new(2)).0;
        let (first, waiting) = (publish(), publish());
        confirmations.topic_failed("t", first);
        let unaware = publish();
        confirmations.forget(first);
        assert!(confirmations.has_failed("t"), "what waits was decided on before the failure was known");
        assert!(!confirmations.has_failed("u"));
        let later = publish();
        confirmations.forget(waiting);
        assert!(confirmations.has_failed("t"), "so was what began before the publish had ended that failed");
        confirmations.forget(unaware);
        assert!(!confirmations.has_failed("t"), "this one was decided on behind the failure");
        confirmations.forget(later);
    }

    #[test]
    fn what_was_not_sent_to_a_failed_topic_holds_back_what_is_under_way_by_then() {
        let confirmations = Confirmations::new(false, None);
        let publish = || confirmations.expect(&Outcomes::new(2)).0;
        let first = publish();
        confirmations.topic_failed("t", first);
        let refused = publish();
        confirmations.topic_failed("t", refused);
        confirmations.forget(first);
        let behind = publish();
        confirmations.forget(refused);
        assert!(confirmations.has_failed("t"));
        confirmations.forget(behind);
        assert!(!confirmations.has_failed("t"));
    }
}
