use std::str::FromStr;
use std::sync::Arc;

use outbox_core::admin::{Admin, Orders};
use outbox_core::transport::Outcome;
use outbox_core::{
    AcquireRequest, Acquired, Batch, BoxError, Crashes, FetchLimits, Finding, Lease, Note, Outcomes, SeqSet,
    Settlement, Store, StoreCapabilities, StoreError, Transport, TransportCapabilities, Wakeups, async_trait,
};
use tokio::sync::Mutex;

/// A mistake of a relay, planted around a store or a transport that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Says that a message was delivered when it was handed over.
    AcknowledgesEarly,
    /// Takes a message for delivered of which nothing is known.
    TrustsSilence,
    /// Settles what it has fetched, and then publishes it.
    SettlesFirst,
    /// Does not know after a takeover what is parked.
    ForgetsParked,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AcknowledgesEarly, Self::TrustsSilence, Self::SettlesFirst, Self::ForgetsParked];

    /// As the relay process is told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgesEarly => "acknowledges-early",
            Self::TrustsSilence => "trusts-silence",
            Self::SettlesFirst => "settles-first",
            Self::ForgetsParked => "forgets-parked",
        }
    }
}

impl FromStr for Bug {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|bug| bug.name() == name);
        found.ok_or_else(|| anyhow::anyhow!("there is no bug {name:?}"))
    }
}

/// A transport with the bug, if it is one of a transport.
#[derive(Debug)]
pub(super) struct BuggyTransport {
    inner: Arc<dyn Transport>,
    bug: Option<Bug>,
}

impl BuggyTransport {
    pub(super) fn new(inner: Box<dyn Transport>, bug: Option<Bug>) -> Self {
        Self { inner: inner.into(), bug }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Transport for BuggyTransport {
    fn capabilities(&self) -> TransportCapabilities {
        self.inner.capabilities()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        match self.bug {
            Some(Bug::AcknowledgesEarly) => {
                let (inner, handed) = (self.inner.clone(), batch.clone());
                tokio::spawn(async move { inner.publish(handed.clone(), &Outcomes::new(handed.len())).await });
                batch.iter().for_each(|m| out.delivered(m));
            }
            Some(Bug::TrustsSilence) => {
                self.inner.publish(batch.clone(), out).await;
                batch
                    .iter()
                    .filter(|m| matches!(out.get(m.index()), Outcome::Unknown(_)))
                    .for_each(|m| out.delivered(m));
            }
            _ => self.inner.publish(batch, out).await,
        }
    }

    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        self.inner.check(topics).await
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.inner.close().await
    }
}

/// A store with the bug, if it is one of a store.
#[derive(Debug)]
pub(super) struct BuggyStore {
    inner: Box<dyn Store>,
    bug: Option<Bug>,
    /// A store settles once at a time.
    settling: Mutex<()>,
}

impl BuggyStore {
    pub(super) fn new(inner: Box<dyn Store>, bug: Option<Bug>) -> Self {
        Self { inner, bug, settling: Mutex::new(()) }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for BuggyStore {
    fn capabilities(&self) -> StoreCapabilities {
        self.inner.capabilities()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        match self.inner.acquire(request).await? {
            Acquired::Yes(lease, _) if self.bug == Some(Bug::ForgetsParked) => Ok(Acquired::Yes(lease, Vec::new())),
            acquired => Ok(acquired),
        }
    }

    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let batch = self.inner.fetch(lease, limits).await?;
        if self.bug == Some(Bug::SettlesFirst) && !batch.is_empty() {
            let mut delivered = SeqSet::new();
            batch.iter().for_each(|m| delivered.insert(m.seq()));
            self.settle(lease, &Settlement { delivered, ..Settlement::default() }).await?;
        }
        Ok(batch)
    }

    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        self.inner.read(lease, seqs).await
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        let _turn = self.settling.lock().await;
        self.inner.settle(lease, settlement).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }

    fn repeats(&self, lease: &Lease) -> u64 {
        self.inner.repeats(lease)
    }

    fn wakeups(&self) -> Option<Box<dyn Wakeups>> {
        self.inner.wakeups()
    }

    async fn crashes(&self, lease: &Lease) -> Result<Crashes, StoreError> {
        self.inner.crashes(lease).await
    }

    async fn note(&self, lease: &Lease, note: Note) -> Result<(), StoreError> {
        self.inner.note(lease, note).await
    }

    async fn orders(&self, relay: &str) -> Result<Orders, StoreError> {
        self.inner.orders(relay).await
    }

    fn admin(&self) -> Option<Arc<dyn Admin>> {
        self.inner.admin()
    }
}
