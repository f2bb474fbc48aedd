//! A correct transport to the [`Broker`], and with a [`Bug`] one that is broken in one way.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use outbox_conformance::transport::Stored;
use outbox_core::{
    Batch, BoxError, KeyOrder, Limits, MessageId, MessageRef, Outcomes, Transport, TransportCapabilities, async_trait,
};
use tokio::sync::Mutex as Queue;
use tokio::task::{unconstrained, yield_now};
use tokio::time::timeout;

use super::Bug;
use super::broker::{Broker, Connection, Failure, Frame, MAX_PAYLOAD};

/// How long a broken one waits for a reply.
const PATIENCE: Duration = Duration::from_millis(200);
/// From so many messages in flight on, a broker acknowledges many at once.
const MANY: usize = 100;
/// So many requests are in flight beside the one that is sent again.
const REQUESTS: usize = 5;

#[derive(Debug)]
pub(crate) struct Net {
    broker: Broker,
    order: KeyOrder,
    bug: Bug,
    connection: Mutex<Option<Connection>>,
    /// Gapless: one publish at a time, in order of their first polls.
    queue: Queue<()>,
    /// Gapless: rises when something was not stored, so that what waits behind it is not sent.
    run: AtomicU64,
    closed: AtomicBool,
    memory: Mutex<Memory>,
}

/// What only the broken ones remember.
#[derive(Debug, Default)]
struct Memory {
    waiting: HashMap<usize, Outcomes>,
    under_way_in_a_cut: HashSet<MessageId>,
    stuck: bool,
    given_up: bool,
    first_failure: Option<Failure>,
    /// Refusals that wait for a confirmation.
    returned: VecDeque<Failure>,
}

impl Net {
    pub(crate) fn new(broker: Broker, order: KeyOrder, bug: Bug) -> Self {
        Self {
            broker,
            order,
            bug,
            connection: Mutex::default(),
            queue: Queue::default(),
            run: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            memory: Mutex::default(),
        }
    }

    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// The largest payload, as declared.
    fn limit(&self) -> usize {
        if self.is(Bug::DeclaresTooMuch) { MAX_PAYLOAD * 2 } else { MAX_PAYLOAD }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open connection, or a new one.
    fn connect(&self) -> Result<Connection, Failure> {
        let mut current = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = self.memory();
        if let Some(failure) = memory.first_failure.clone().filter(|_| self.is(Bug::KeepsFirstFailure)) {
            return Err(failure);
        }
        if memory.given_up && self.is(Bug::GivesUp) {
            return Err(Failure::Away);
        }
        if let Some(open) = current.as_ref().filter(|c| c.is_open()) {
            return Ok(open.clone());
        }
        let connected = self.broker.connect();
        match &connected {
            Ok(connection) => *current = Some(connection.clone()),
            Err(_) if current.is_some() => memory.given_up = true,
            Err(failure) => _ = memory.first_failure.get_or_insert(failure.clone()),
        }
        connected
    }

    fn frame(&self, m: &MessageRef<'_>, first_key: Option<&str>) -> Result<Frame, BoxError> {
        let mut message = Stored::from(m);
        message.headers = m.headers()?;
        let broken = |(name, value): &(String, String)| [name, value].iter().any(|text| text.contains(['\r', '\n']));
        if message.headers.iter().any(broken) {
            assert!(!self.is(Bug::PanicsOnLineBreak), "a header with a line break");
            return Err("a header with a line break".into());
        }
        if message.payload.len() > self.limit() {
            return Err("a payload over the limit".into());
        }
        let dedup = (!self.is(Bug::NoDedupId)).then(|| message.id.clone());
        let key = if self.is(Bug::PartitionOfFirst) { first_key } else { m.key() };
        match self.bug {
            Bug::Reencodes => message.payload = String::from_utf8_lossy(&message.payload).into_owned().into_bytes(),
            Bug::NewIds => message.id = MessageId::new().to_string(),
            Bug::EmptyKey => _ = message.key.get_or_insert_default(),
            Bug::DropsHeaders => message.headers.retain(|(_, value)| value.is_ascii()),
            _ => {}
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Ok(Frame { message, partition: hasher.finish() as usize, dedup })
    }

    async fn send(&self, id: MessageId, frame: Result<Frame, BoxError>) -> Result<(), BoxError> {
        let frame = frame.map_err(|e| Box::new(Unfit(e.to_string())))?;
        if self.is(Bug::CutIsSent) && self.memory().under_way_in_a_cut.contains(&id) {
            return Ok(());
        }
        let connection = self.connect()?;
        let sent = match self.bug {
            Bug::EarlyAck => connection.receive(&frame).await,
            Bug::DeliveredWithoutReply => timeout(PATIENCE, connection.send(&frame)).await.unwrap_or(Ok(())),
            _ => connection.send(&frame).await,
        };
        if sent == Err(Failure::Lost) {
            self.memory().under_way_in_a_cut.insert(id);
        }
        Ok(sent?)
    }

    fn say(&self, out: &Outcomes, index: usize, result: Result<(), BoxError>) {
        let Err(e) = result else { return out.delivered(index) };
        let refused = if self.is(Bug::MixesPublishes) { self.memory().waiting.get(&index).cloned() } else { None };
        let refused = refused.as_ref().unwrap_or(out);
        match e.downcast_ref::<Failure>() {
            None if self.is(Bug::ForgetsWhatItCannotCarry) => {}
            None | Some(Failure::Refused) => refused.reject(index, e),
            Some(Failure::Nowhere) => refused.destination(index, e),
            Some(Failure::Away) if self.is(Bug::RejectsOutage) => out.reject(index, e),
            Some(Failure::Away | Failure::Lost) => out.unknown(index, e),
        }
    }

    /// The confirmation of a message among many: a refusal is a notice of its own before it.
    async fn confirmed(&self, sent: Result<(), BoxError>) -> Result<(), BoxError> {
        if let Err(Some(Failure::Nowhere)) = sent.as_ref().map_err(|e| e.downcast_ref()) {
            self.memory().returned.push_back(Failure::Nowhere);
            yield_now().await;
        } else if sent.is_err() {
            return sent;
        }
        self.memory().returned.pop_front().map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    /// Each waited for by itself.
    async fn publish_in_turn(&self, batch: &Batch, out: &Outcomes) {
        for m in batch.iter() {
            let answer = timeout(PATIENCE, self.send(m.id(), self.frame(&m, None))).await;
            self.say(out, m.index(), answer.unwrap_or_else(|_| Err(Failure::Lost.into())));
        }
    }

    /// All at once.
    async fn publish_one_in_flight(&self, batch: &Batch, out: &Outcomes) {
        let first = batch.iter().next().and_then(|m| m.key());
        let send = |m: MessageRef<'_>| {
            let (index, frame, id) = (m.index(), self.frame(&m, first), m.id());
            async move {
                let sent = self.send(id, frame).await;
                let mixed = self.is(Bug::MixedUpReturns) && batch.len() >= MANY;
                (index, if mixed { self.confirmed(sent).await } else { sent })
            }
        };
        let mut answers: FuturesUnordered<_> = batch.iter().map(send).collect();
        let (mut place, mut of_first) = (0, None);
        while let Some((index, result)) = answers.next().await {
            let failure = result.as_ref().err().map(|e| e.downcast_ref::<Failure>());
            let answered = !matches!(failure, Some(None));
            match self.bug {
                Bug::ByOrderOfAnswers if answered => self.say(out, place, result),
                Bug::WholeBatchByFirst if answered => {
                    if index == 0 {
                        of_first = Some(failure.flatten().cloned());
                    }
                }
                // Of a batch; one message alone is a request of its own.
                Bug::PartialBatch if failure == Some(Some(&Failure::Refused)) && batch.len() > 1 => {
                    out.delivered(index)
                }
                _ => self.say(out, index, result),
            }
            place += 1;
        }
        if let Some(failure) = of_first {
            (0..batch.len()).for_each(|index| self.say(out, index, failure.clone().map_or(Ok(()), |f| Err(f.into()))));
        }
    }

    /// One after the other, until one is not stored.
    async fn publish_gapless(&self, batch: &Batch, out: &Outcomes) {
        if self.is(Bug::QueuesAfterEncoding) {
            for _ in 0..batch.len() / 10 {
                yield_now().await;
            }
        }
        let run = self.run.load(Ordering::Acquire);
        let _turn = unconstrained(self.queue.lock()).await;
        if self.run.load(Ordering::Acquire) != run {
            return;
        }
        let mut again = Vec::new();
        for m in batch.iter() {
            if again.first().is_some_and(|first: &MessageRef<'_>| first.index() + REQUESTS <= m.index()) {
                self.send_again(&mut again, out).await;
            }
            let result = self.send(m.id(), self.frame(&m, None)).await;
            let lost = result.as_ref().is_err_and(|e| matches!(e.downcast_ref(), Some(Failure::Lost)));
            if lost && self.is(Bug::RetriesBehind) {
                again.push(m);
                continue;
            }
            let refused =
                result.as_ref().is_err_and(|e| !matches!(e.downcast_ref(), Some(Failure::Away | Failure::Lost)));
            let stop = result.is_err() && !refused;
            self.say(out, m.index(), result);
            if stop && !self.is(Bug::GoesOnAfterCut) {
                self.run.fetch_add(1, Ordering::AcqRel);
                break;
            }
        }
        self.send_again(&mut again, out).await;
    }

    async fn send_again(&self, again: &mut Vec<MessageRef<'_>>, out: &Outcomes) {
        for m in again.drain(..) {
            self.say(out, m.index(), self.send(m.id(), self.frame(&m, None)).await);
        }
    }
}

/// What is dropped takes what waits behind it with it.
struct Run<'a> {
    of: &'a Net,
    whole: bool,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if self.whole {
            return;
        }
        self.of.memory().stuck = true;
        if !self.of.is(Bug::GoesOnBehindDropped) {
            self.of.run.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// A message that has no form on this wire.
#[derive(Debug)]
struct Unfit(String);

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

#[async_trait]
impl Transport for Net {
    fn capabilities(&self) -> TransportCapabilities {
        let connected = self.connection.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let payload = if self.is(Bug::LearnsLimits) && !connected { self.limit() - 1_000 } else { self.limit() };
        let limits = Limits::DEFAULT.max_payload(payload);
        TransportCapabilities::new().key_order(self.order).limits(limits).dedup_window(Duration::from_secs(120))
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        if self.closed.load(Ordering::Acquire) {
            match self.bug {
                Bug::DeliversAfterClose => return (0..batch.len()).for_each(|index| out.delivered(index)),
                Bug::StaysClosed => return,
                _ => {}
            }
        }
        if self.is(Bug::HangsAfterDrop) && self.memory().stuck {
            std::future::pending::<()>().await;
        }
        let mut guard = Run { of: self, whole: false };
        if self.is(Bug::MixesPublishes) {
            self.memory().waiting.extend((0..batch.len()).map(|index| (index, out.clone())));
        }
        match self.order {
            KeyOrder::Gapless => self.publish_gapless(&batch, out).await,
            _ if self.is(Bug::AcksInTurn) => self.publish_in_turn(&batch, out).await,
            _ => self.publish_one_in_flight(&batch, out).await,
        }
        guard.whole = true;
    }

    async fn close(&self) -> Result<(), BoxError> {
        let again = self.closed.swap(true, Ordering::AcqRel);
        assert!(!(again && self.is(Bug::ClosesOnce)), "closed twice");
        Ok(())
    }
}
