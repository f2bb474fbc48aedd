//! Defects of the writers' side.

use std::collections::HashMap;
use std::sync::Mutex;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    AcquireRequest, Acquired, Batch, FetchLimits, Lease, Message, MessageId, StartAt, Store, StoreError, async_trait,
};

use crate::broken::{Defect, Tx, write};
use crate::tools::{by, lock};

/// A fetch writes what open transactions have enqueued.
#[derive(Debug, Default)]
pub(crate) struct ReadsUncommitted(Mutex<Vec<(u64, Message)>>);

#[async_trait]
impl Defect for ReadsUncommitted {
    fn enqueue(&self, tx: &mut Tx, message: Message) -> Result<(), StoreError> {
        tx.add(message.clone())?;
        lock(&self.0).push((tx.number, message));
        Ok(())
    }

    fn commit(&self, inner: &MemoryStore, tx: Tx) {
        let (mine, others) = lock(&self.0).drain(..).partition(|(number, _)| *number == tx.number);
        *lock(&self.0) = others;
        let mine: Vec<(u64, Message)> = mine;
        write(inner, mine.into_iter().map(|(_, message)| message));
    }

    fn rollback(&self, _inner: &MemoryStore, tx: Tx) {
        lock(&self.0).retain(|(number, _)| *number != tx.number);
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let open = std::mem::take(&mut *lock(&self.0));
        write(inner, open.into_iter().map(|(_, message)| message));
        inner.fetch(lease, limits).await
    }
}

/// A transaction that is rolled back is committed.
#[derive(Debug, Default)]
pub(crate) struct KeepsRolledBack;

impl Defect for KeepsRolledBack {
    fn rollback(&self, inner: &MemoryStore, tx: Tx) {
        write(inner, tx.messages);
    }
}

/// A savepoint that is rolled back keeps its message.
#[derive(Debug, Default)]
pub(crate) struct IgnoresSavepoints;

impl Defect for IgnoresSavepoints {
    fn savepoint(&self, tx: &mut Tx, message: Message) {
        tx.messages.push(message);
    }
}

/// After a refused message the transaction is lost.
#[derive(Debug, Default)]
pub(crate) struct RefusalPoisons;

impl Defect for RefusalPoisons {
    fn enqueue(&self, tx: &mut Tx, message: Message) -> Result<(), StoreError> {
        tx.add(message).inspect_err(|_| tx.messages.clear())
    }
}

/// Of a large transaction only the first hundred messages are written.
#[derive(Debug, Default)]
pub(crate) struct CutsLargeTransactions;

impl Defect for CutsLargeTransactions {
    fn commit(&self, inner: &MemoryStore, tx: Tx) {
        write(inner, tx.messages.into_iter().take(100));
    }
}

/// The messages of a transaction are written last one first.
#[derive(Debug, Default)]
pub(crate) struct WritesBackwards;

impl Defect for WritesBackwards {
    fn commit(&self, inner: &MemoryStore, tx: Tx) {
        write(inner, tx.messages.into_iter().rev());
    }
}

/// The numbers that messages draw when they are enqueued, as from a sequence.
#[derive(Debug, Default)]
struct Sequence {
    last: u64,
    drawn: HashMap<MessageId, u64>,
    /// The highest number handed out under this lease, and under those before it.
    read: u64,
    read_before: u64,
    /// What had been drawn when a name began with `StartAt::Now`.
    started: u64,
}

impl Sequence {
    fn draw(&mut self, message: &Message) {
        self.last += 1;
        self.drawn.insert(message.id, self.last);
    }

    fn of(&self, id: MessageId) -> u64 {
        self.drawn.get(&id).copied().unwrap_or_default()
    }

    fn note(&mut self, batch: &Batch) {
        self.read = batch.iter().map(|m| self.of(m.id())).chain([self.read]).max().unwrap_or_default();
    }
}

/// Which late commits a reader of the sequence gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// The cursor moved over them under this lease: they are lost.
    Lost,
    /// The cursor that a successor found lay above them: they are lost.
    LostAtTakeover,
    /// They are handed out behind what came with them.
    Last,
    /// They were open when the name began with `StartAt::Now`: they are lost.
    LostAtStart,
}

#[derive(Debug)]
pub(crate) struct SequenceReader(Late, Mutex<Sequence>);

impl SequenceReader {
    pub(crate) fn new(late: Late) -> Self {
        Self(late, Mutex::default())
    }
}

#[async_trait]
impl Defect for SequenceReader {
    fn enqueue(&self, tx: &mut Tx, message: Message) -> Result<(), StoreError> {
        lock(&self.1).draw(&message);
        tx.add(message)
    }

    fn commit(&self, inner: &MemoryStore, tx: Tx) {
        let sequence = lock(&self.1);
        let above = match self.0 {
            Late::Lost => sequence.read,
            Late::LostAtTakeover => sequence.read_before,
            Late::LostAtStart => sequence.started,
            Late::Last => 0,
        };
        write(inner, tx.messages.into_iter().filter(|m| sequence.of(m.id) > above));
    }

    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let acquired = inner.acquire(request).await?;
        let mut sequence = lock(&self.1);
        sequence.read_before = sequence.read_before.max(std::mem::take(&mut sequence.read));
        if request.start == StartAt::Now {
            sequence.started = sequence.last;
        }
        Ok(acquired)
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let batch = inner.fetch(lease, limits).await?;
        let mut sequence = lock(&self.1);
        let read = sequence.read;
        sequence.note(&batch);
        Ok(match self.0 {
            Late::Last => by(&batch, |m| sequence.of(m.id()) < read),
            _ => batch,
        })
    }
}
