//! Defects of what is kept of a message, of signals, of capabilities and of calls.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use outbox_core::memory::MemoryStore;
use outbox_core::{
    AcquireRequest, Acquired, Batch, FetchLimits, Lease, Message, MessageId, Settlement, Store, StoreCapabilities,
    StoreError, StoreErrorKind, Wakeups, async_trait,
};

use crate::broken::{Defect, Tx, write};
use crate::tools::{error, fetch_only, lock, redated};

/// What is changed of a message when it is enqueued.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// The payload is stored as UTF-8.
    PayloadAsText,
    /// The key is stored in small letters.
    SmallLetters,
    /// The store gives a message an id of its own.
    NewId,
    /// A message without a key has one.
    KeyForAll,
}

#[derive(Debug)]
pub(crate) struct Changes(pub(crate) Change);

impl Defect for Changes {
    fn enqueue(&self, tx: &mut Tx, mut message: Message) -> Result<(), StoreError> {
        match self.0 {
            Change::PayloadAsText => message.payload = String::from_utf8_lossy(&message.payload).into_owned().into(),
            Change::SmallLetters => message.key = message.key.map(|key| key.to_lowercase()),
            Change::NewId => message.id = MessageId::new(),
            Change::KeyForAll => message.key = message.key.or_else(|| Some("null".into())),
        }
        tx.add(message)
    }
}

/// `created_at` is in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Milliseconds;

#[async_trait]
impl Defect for Milliseconds {
    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let since = |at: std::time::SystemTime| at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let batch = inner.fetch(lease, limits).await?;
        Ok(redated(&batch, |m| i64::try_from(since(m.created_at()).as_millis()).unwrap_or(0)))
    }
}

/// Who is signalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signalled {
    Nobody,
    OnlyTheFirst,
}

#[derive(Debug)]
pub(crate) struct Signals(Signalled, AtomicBool);

impl Signals {
    pub(crate) fn new(signalled: Signalled) -> Self {
        Self(signalled, AtomicBool::new(false))
    }
}

impl Defect for Signals {
    fn wakeups(&self, inner: &MemoryStore) -> Option<Box<dyn Wakeups>> {
        let second = self.1.swap(true, Ordering::Relaxed);
        if second || self.0 == Signalled::Nobody { Some(Box::new(Never)) } else { inner.wakeups() }
    }
}

#[derive(Debug)]
struct Never;

#[async_trait]
impl Wakeups for Never {
    async fn wait(&mut self) {
        std::future::pending().await
    }
}

/// Messages whose signal nobody took are not found.
#[derive(Debug, Default)]
pub(crate) struct FindsBySignal {
    listening: AtomicBool,
    unheard: Mutex<HashSet<MessageId>>,
}

#[async_trait]
impl Defect for FindsBySignal {
    fn commit(&self, inner: &MemoryStore, tx: Tx) {
        if self.listening.load(Ordering::Relaxed) {
            lock(&self.unheard).extend(tx.messages.iter().map(|m| m.id));
        }
        write(inner, tx.messages);
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        fetch_only(inner, lease, limits, |m| !lock(&self.unheard).contains(&m.id())).await
    }

    fn wakeups(&self, inner: &MemoryStore) -> Option<Box<dyn Wakeups>> {
        self.listening.store(true, Ordering::Relaxed);
        inner.wakeups()
    }
}

/// How names get in each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// A message is handed out to one of the names that are there.
    OneForAll,
    /// What was settled is deleted, which a new name finds out.
    Deletes,
    /// What was settled is handed out to new names, which is not declared.
    NotDeclared,
}

#[derive(Debug)]
pub(crate) struct Shares(Sharing, Mutex<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The order in which names came.
    names: Vec<String>,
    /// Who was handed out a message, and how many names there were.
    taken: HashMap<i64, (String, usize)>,
    settled: HashMap<i64, usize>,
}

impl Shares {
    pub(crate) fn new(sharing: Sharing) -> Self {
        Self(sharing, Mutex::default())
    }
}

#[async_trait]
impl Defect for Shares {
    fn capabilities(&self) -> StoreCapabilities {
        let mut capabilities = StoreCapabilities::log();
        capabilities.replay = self.0 != Sharing::NotDeclared;
        capabilities
    }

    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        {
            let names = &mut lock(&self.1).names;
            if !names.contains(&request.relay) {
                names.push(request.relay.clone());
            }
        }
        inner.acquire(request).await
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let place = lock(&self.1).names.iter().position(|name| *name == lease.relay).unwrap_or_default();
        let hidden = |seq: i64| {
            let mut shared = lock(&self.1);
            let names = shared.names.len();
            match self.0 {
                Sharing::OneForAll => {
                    let (taker, then) = shared.taken.entry(seq).or_insert_with(|| (lease.relay.clone(), names));
                    *taker != lease.relay && place < *then
                }
                Sharing::Deletes => shared.settled.get(&seq).is_some_and(|then| place >= *then),
                Sharing::NotDeclared => false,
            }
        };
        fetch_only(inner, lease, limits, |m| !hidden(m.seq())).await
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        inner.settle(lease, settlement).await?;
        let mut shared = lock(&self.1);
        let names = shared.names.len();
        let seqs = settlement.delivered.ranges().iter().flat_map(|(lo, hi)| *lo..=*hi);
        seqs.for_each(|seq| _ = shared.settled.entry(seq).or_insert(names));
        Ok(())
    }
}

/// What a fetch that is under way gets in the way of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// A settlement at the same time fails.
    Settling,
    /// After a fetch that was dropped the name cannot be acquired in this process.
    Acquiring,
}

#[derive(Debug)]
pub(crate) struct Blocks(Busy, AtomicBool);

impl Blocks {
    pub(crate) fn new(busy: Busy) -> Self {
        Self(busy, AtomicBool::new(false))
    }
}

/// Ends what it stands for when it is dropped.
struct Until<'a>(&'a Blocks);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.1.store(false, Ordering::Relaxed);
    }
}

#[async_trait]
impl Defect for Blocks {
    fn reopened(&self) -> Option<Arc<dyn Defect>> {
        Some(Arc::new(Self::new(self.0)))
    }

    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        if self.0 == Busy::Acquiring && self.1.load(Ordering::Relaxed) {
            return Err(error(StoreErrorKind::Conflict));
        }
        inner.acquire(request).await
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        self.1.store(true, Ordering::Relaxed);
        let until = (self.0 == Busy::Settling).then(|| Until(self));
        tokio::task::yield_now().await;
        let batch = inner.fetch(lease, limits).await;
        drop(until);
        self.1.store(false, Ordering::Relaxed);
        batch
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        if self.0 == Busy::Settling && self.1.load(Ordering::Relaxed) {
            return Err(error(StoreErrorKind::Conflict));
        }
        inner.settle(lease, settlement).await
    }
}
