use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::desk::{Desk, dead_message};
use super::scheduled::Scheduled;
use crate::admin::{Admin, DeadMessage, Orders};
use crate::{
    AcquireRequest, Acquired, Batch, BatchBuilder, Crashes, FetchLimits, IntoMessage, InvalidMessage, Lease, Limits,
    Message, MessageId, Note, ParkedMessage, Row, SeqSet, Settlement, StartAt, Store, StoreCapabilities, StoreError,
    StoreErrorKind, TopicFilter, Wakeups, clock,
};

/// Kept of a message, as databases keep some thousand characters.
const MOST_ERRORS: usize = 40;

/// A store without a database, for tests. Cheap to clone: all clones share the messages.
///
/// ```
/// use outbox_core::memory::MemoryStore;
/// use outbox_core::Message;
///
/// let store = MemoryStore::new();
/// let mut tx = store.begin();
/// tx.enqueue(Message::new("orders", "order.created").text("7"))?;
/// tx.commit();
/// # Ok::<(), outbox_core::InvalidMessage>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    pub(super) state: Arc<Mutex<State>>,
    committed: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) log: BTreeMap<i64, (Message, i64)>,
    scheduled: Scheduled,
    last: i64,
    pub(super) relays: BTreeMap<String, Cursor>,
}

#[derive(Debug, Default)]
pub(super) struct Cursor {
    owner: Option<u128>,
    epoch: i64,
    expires: Option<Instant>,
    lease: Duration,
    topics: TopicFilter,
    read: i64,
    position: i64,
    unsettled: SeqSet,
    pub(super) parked: BTreeMap<i64, (ParkedMessage, Instant)>,
    /// What the failed attempts of parked messages ended in, the newest first.
    pub(super) errors: BTreeMap<i64, VecDeque<String>>,
    pub(super) dead: BTreeMap<i64, DeadMessage>,
    pub(super) orders: Orders,
    crashes: u32,
    note: Note,
}

/// Messages that exist when it is committed. Dropping it rolls back.
#[derive(Debug)]
pub struct MemoryTransaction {
    store: MemoryStore,
    messages: Vec<Message>,
}

impl MemoryTransaction {
    /// Adds a message.
    ///
    /// # Errors
    /// When a part of it is out of [`Limits::DEFAULT`].
    pub fn enqueue(&mut self, message: impl IntoMessage) -> Result<(), InvalidMessage> {
        let message = message.into_message()?;
        Limits::DEFAULT.check(&message)?;
        self.messages.push(message);
        Ok(())
    }

    /// Makes the messages exist, and wakes the relays.
    pub fn commit(self) {
        let now = clock::wall_micros();
        let mut state = self.store.lock();
        for message in self.messages {
            if let Some(message) = state.scheduled.keep(message, now) {
                state.append((message, now));
            }
        }
        drop(state);
        self.store.committed.notify_waiters();
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a transaction.
    pub fn begin(&self) -> MemoryTransaction {
        MemoryTransaction { store: self.clone(), messages: Vec::new() }
    }

    /// Cancels a message [for later](Message::deliver_at). Says whether it was there: one that is due is delivered.
    pub fn cancel(&self, id: MessageId) -> bool {
        self.lock().scheduled.cancel(id)
    }

    /// What a relay gave up on, with the reasons.
    pub fn dead_letters(&self, relay: &str) -> Vec<(Message, String)> {
        let told = |dead: &DeadMessage| (dead.message.clone(), dead.reason.clone());
        self.lock().relays.get(relay).map(|r| r.dead.values().map(told).collect()).unwrap_or_default()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, entry: (Message, i64)) {
        self.last += 1;
        self.log.insert(self.last, entry);
    }

    fn own(&mut self, lease: &Lease, operation: &'static str) -> Result<&mut Cursor, StoreError> {
        let valid = |c: &&mut Cursor| c.epoch == lease.epoch && c.expires.is_some_and(|at| at > clock::now());
        self.relays
            .get_mut(&lease.relay)
            .filter(valid)
            .ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, operation))
    }
}

fn push(batch: &mut BatchBuilder, seq: i64, (m, created_at): &(Message, i64)) {
    batch.push(&Row {
        seq,
        id: m.id.as_uuid().as_u128(),
        created_at: *created_at,
        topic: &m.topic,
        key: m.key.as_deref(),
        event_type: &m.event_type,
        payload: &m.payload,
        content_type: m.content_type.as_deref(),
        headers: m.headers_json().as_deref(),
    });
}

#[async_trait]
impl Store for MemoryStore {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::log()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let (mut state, now) = (self.lock(), clock::now());
        let last = state.last;
        let cursor = state.relays.entry(request.relay.clone()).or_default();
        if cursor.owner.is_some_and(|owner| owner != request.owner)
            && let Some(at) = cursor.expires.filter(|at| *at > now)
        {
            return Ok(Acquired::Held(at - now));
        }
        let crashed = cursor.owner.is_some_and(|owner| owner != request.owner);
        cursor.crashes += u32::from(crashed && !cursor.note.outage);
        cursor.note = Note { suspect: cursor.note.suspect.filter(|_| crashed && !cursor.note.outage), outage: false };
        if cursor.epoch == 0 && request.start == StartAt::Now {
            cursor.position = last;
        }
        cursor.epoch += 1;
        cursor.owner = Some(request.owner);
        cursor.lease = request.lease;
        cursor.expires = Some(now + request.lease);
        cursor.topics = request.topics.clone();
        // What was handed out and not settled comes first again.
        cursor.read = cursor.unsettled.first().map_or(cursor.position, |first| first - 1);
        let due_in = |due: &Instant| due.saturating_duration_since(now);
        let parked = cursor.parked.values().map(|(p, due)| ParkedMessage { due_in: due_in(due), ..p.clone() });
        let lease = Lease { relay: request.relay.clone(), epoch: cursor.epoch, token: 0 };
        Ok(Acquired::Yes(lease, parked.collect()))
    }

    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.own(lease, "fetch")?;
        for entry in state.scheduled.due() {
            state.append(entry);
        }
        let Some(cursor) = state.relays.get_mut(&lease.relay) else { return Ok(Batch::default()) };
        let mut batch = BatchBuilder::new();
        for (seq, entry) in state.log.range(cursor.read + 1..) {
            if batch.len() >= limits.messages {
                break;
            }
            cursor.read = *seq;
            let fresh = *seq > cursor.position;
            cursor.position = cursor.position.max(*seq);
            if (fresh || cursor.unsettled.contains(*seq)) && cursor.topics.matches(&entry.0.topic) {
                cursor.unsettled.insert(*seq);
                push(&mut batch, *seq, entry);
            }
        }
        Ok(batch.finish())
    }

    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        let mut state = self.lock();
        state.own(lease, "read")?;
        let mut batch = BatchBuilder::new();
        for seq in seqs {
            if let Some(entry) = state.log.get(seq) {
                push(&mut batch, *seq, entry);
            }
        }
        Ok(batch.finish())
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = clock::now();
        state.own(lease, "settle")?;
        let Some(cursor) = state.relays.get_mut(&lease.relay) else { return Ok(()) };
        cursor.expires = Some(now + cursor.lease);
        if !settlement.is_empty() {
            cursor.crashes = 0;
        }
        cursor.unsettled.remove_all(&settlement.delivered);
        for p in &settlement.parked {
            cursor.unsettled.remove_range(p.seq, p.seq);
            let before = cursor.parked.insert(p.seq, (p.clone(), now + p.due_in));
            let before = before.map_or(0, |(before, _)| before.attempts);
            if let Some(error) = p.last_error.clone().filter(|_| p.attempts > before) {
                let errors = cursor.errors.entry(p.seq).or_default();
                errors.push_front(error);
                errors.truncate(MOST_ERRORS);
            }
        }
        for seq in &settlement.unparked {
            cursor.unsettled.remove_range(*seq, *seq);
            cursor.parked.remove(seq);
            cursor.errors.remove(seq);
        }
        for d in &settlement.dead {
            cursor.unsettled.remove_range(d.seq, d.seq);
            cursor.parked.remove(&d.seq);
            let history = cursor.errors.remove(&d.seq).unwrap_or_default().into();
            if let Some(entry) = state.log.get(&d.seq) {
                let dead = || dead_message(&lease.relay, d.seq, entry, (d.reason.clone(), d.attempts, history));
                cursor.dead.entry(d.seq).or_insert_with(dead);
            }
        }
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut state = self.lock();
        let cursor = state.own(lease, "release")?;
        (cursor.owner, cursor.expires, cursor.note) = (None, None, Note::default());
        Ok(())
    }

    async fn crashes(&self, lease: &Lease) -> Result<Crashes, StoreError> {
        let mut state = self.lock();
        let cursor = state.own(lease, "crashes")?;
        Ok(Crashes { count: cursor.crashes, suspect: cursor.note.suspect })
    }

    async fn note(&self, lease: &Lease, note: Note) -> Result<(), StoreError> {
        self.lock().own(lease, "note")?.note = note;
        Ok(())
    }

    fn wakeups(&self) -> Option<Box<dyn Wakeups>> {
        Some(Box::new(Committed(self.committed.clone())))
    }

    async fn orders(&self, relay: &str) -> Result<Orders, StoreError> {
        Ok(self.lock().relays.get(relay).map(|cursor| cursor.orders.clone()).unwrap_or_default())
    }

    fn admin(&self) -> Option<Arc<dyn Admin>> {
        Some(Arc::new(Desk(self.clone())))
    }
}

#[derive(Debug)]
struct Committed(Arc<Notify>);

#[async_trait]
impl Wakeups for Committed {
    async fn wait(&mut self) {
        self.0.notified().await;
    }
}
