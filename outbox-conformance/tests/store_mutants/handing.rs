//! Defects of handing out.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    AcquireRequest, Acquired, Batch, FetchLimits, Lease, Slot, StartAt, Store, StoreError, TopicFilter, async_trait,
};

use crate::broken::Defect;
use crate::tools::{ALL, by, delivered, lock, only, seqs};

/// A full page loses its last message.
#[derive(Debug, Default)]
pub(crate) struct LosesAtPageEnd;

#[async_trait]
impl Defect for LosesAtPageEnd {
    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let batch = inner.fetch(lease, limits).await?;
        let lost = batch.len() == limits.messages && batch.len() >= 50;
        Ok(if lost { only(&batch, |m| m.index() + 1 < batch.len()) } else { batch })
    }
}

/// The last message of a full page comes again with the next one.
#[derive(Debug, Default)]
pub(crate) struct RepeatsAtPageEnd(Mutex<Option<Slot>>);

#[async_trait]
impl Defect for RepeatsAtPageEnd {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        *lock(&self.0) = None;
        inner.acquire(request).await
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let Some(again) = lock(&self.0).take() else {
            let batch = inner.fetch(lease, limits).await?;
            if batch.len() == limits.messages && batch.len() >= 50 {
                *lock(&self.0) = Some(batch.slot(batch.len() - 1));
            }
            return Ok(batch);
        };
        let batch = inner.fetch(lease, FetchLimits { messages: limits.messages - 1 }).await?;
        Ok(Batch::from_slots([again].into_iter().chain((0..batch.len()).map(|i| batch.slot(i))).collect()))
    }
}

/// After a takeover what is new comes before what is unsettled.
#[derive(Debug, Default)]
pub(crate) struct NewestFirst(Mutex<HashSet<i64>>);

#[async_trait]
impl Defect for NewestFirst {
    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let batch = inner.fetch(lease, limits).await?;
        let mut known = lock(&self.0);
        let sorted = by(&batch, |m| known.contains(&m.seq()));
        known.extend(seqs(&batch));
        Ok(sorted)
    }
}

/// Hands out one message more than it should.
#[derive(Debug, Default)]
pub(crate) struct OneTooMany;

#[async_trait]
impl Defect for OneTooMany {
    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        inner.fetch(lease, FetchLimits { messages: limits.messages + 1 }).await
    }
}

/// A batch is ordered by key.
#[derive(Debug, Default)]
pub(crate) struct OrdersByKey;

#[async_trait]
impl Defect for OrdersByKey {
    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        Ok(by(&inner.fetch(lease, limits).await?, |m| m.key().map(str::to_owned)))
    }
}

/// What goes wrong where a store filters topics itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filtering {
    /// A page that holds only messages of other topics is handed out as an empty batch.
    EmptyPage,
    /// `_` stands for any character, as in SQL's `like`.
    Like,
    /// Capital letters do not count.
    CaseBlind,
    /// Messages of other topics stay unsettled.
    LeavesOthers,
}

#[derive(Debug)]
pub(crate) struct Filters(Filtering, Mutex<HashMap<String, TopicFilter>>);

impl Filters {
    pub(crate) fn new(filtering: Filtering) -> Self {
        Self(filtering, Mutex::default())
    }

    fn matches(&self, filter: &TopicFilter, topic: &str) -> bool {
        let like = |p: &str| {
            let same = |(a, b): (char, char)| a == b || a == '_';
            p.chars().count() == topic.chars().count() && p.chars().zip(topic.chars()).all(same)
        };
        match self.0 {
            Filtering::Like => filter.matches(topic) || filter.patterns().iter().any(|p| like(p)),
            Filtering::CaseBlind => {
                let lower = filter.patterns().iter().map(|p| p.to_lowercase());
                TopicFilter::new(lower).is_ok_and(|f| f.matches(&topic.to_lowercase()))
            }
            _ => filter.matches(topic),
        }
    }
}

#[async_trait]
impl Defect for Filters {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        lock(&self.1).insert(request.relay.clone(), request.topics.clone());
        let mut all = request.clone();
        all.topics = TopicFilter::all();
        inner.acquire(&all).await
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let filter = lock(&self.1).get(&lease.relay).cloned().unwrap_or_default();
        loop {
            let batch = inner.fetch(lease, limits).await?;
            let mine = only(&batch, |m| self.matches(&filter, m.topic()));
            if self.0 != Filtering::LeavesOthers && mine.len() < batch.len() {
                let others = only(&batch, |m| !self.matches(&filter, m.topic()));
                inner.settle(lease, &delivered(seqs(&others))).await?;
            }
            if !mine.is_empty() || batch.is_empty() || self.0 == Filtering::EmptyPage {
                return Ok(mine);
            }
        }
    }
}

/// `StartAt::Now` moves a name that was held before to the end.
#[derive(Debug, Default)]
pub(crate) struct AlwaysNow(Mutex<HashSet<String>>);

#[async_trait]
impl Defect for AlwaysNow {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let acquired = inner.acquire(request).await?;
        let known = !lock(&self.0).insert(request.relay.clone());
        if let (Acquired::Yes(lease, _), true, StartAt::Now) = (&acquired, known, request.start) {
            let all = inner.fetch(lease, ALL).await?;
            inner.settle(lease, &delivered(seqs(&all))).await?;
        }
        Ok(acquired)
    }
}

/// `StartAt::Now` is taken for `StartAt::Earliest`.
#[derive(Debug, Default)]
pub(crate) struct NeverNow;

#[async_trait]
impl Defect for NeverNow {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let mut earliest = request.clone();
        earliest.start = StartAt::Earliest;
        inner.acquire(&earliest).await
    }
}
