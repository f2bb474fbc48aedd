//! Defects of leases.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use outbox_conformance::store::LEASE;
use outbox_core::memory::MemoryStore;
use outbox_core::{
    AcquireRequest, Acquired, Batch, FetchLimits, Lease, Settlement, Store, StoreError, StoreErrorKind, async_trait,
};

use crate::broken::Defect;
use crate::tools::{error, lock, now};

/// Looking at a lease and taking it are two steps: two that ask at the same instant both get it.
#[derive(Debug, Default)]
pub(crate) struct LooksThenTakes(Mutex<HashMap<String, (Instant, Lease)>>);

#[async_trait]
impl Defect for LooksThenTakes {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let acquired = inner.acquire(request).await?;
        let mut taken = lock(&self.0);
        match (acquired, taken.get(&request.relay)) {
            (Acquired::Yes(lease, parked), _) => {
                taken.insert(lease.relay.clone(), (now(), lease.clone()));
                Ok(Acquired::Yes(lease, parked))
            }
            (Acquired::Held(_), Some((at, lease))) if *at == now() => Ok(Acquired::Yes(lease.clone(), Vec::new())),
            (held, _) => Ok(held),
        }
    }
}

/// What one call does with a lease that is no longer valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    Fetch,
    Read,
    Settle,
    Release,
    /// A stale settlement is refused, and applied.
    SettleAnyway,
    /// Every call is refused, but not as a lost lease.
    AnotherError,
}

/// Does not look at the epoch in one call.
#[derive(Debug)]
pub(crate) struct Unfenced(Stale, Mutex<HashMap<String, Lease>>);

impl Unfenced {
    pub(crate) fn new(stale: Stale) -> Self {
        Self(stale, Mutex::default())
    }

    /// The lease that is valid now, if `call` is the one that does not look.
    fn lease(&self, call: Stale, lease: &Lease) -> Lease {
        let valid = lock(&self.1).get(&lease.relay).cloned();
        valid.filter(|_| self.0 == call).unwrap_or_else(|| lease.clone())
    }

    fn kind<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match self.0 {
            Stale::AnotherError => result.map_err(|_| error(StoreErrorKind::Unavailable)),
            _ => result,
        }
    }
}

#[async_trait]
impl Defect for Unfenced {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let acquired = inner.acquire(request).await?;
        if let Acquired::Yes(lease, _) = &acquired {
            lock(&self.1).insert(lease.relay.clone(), lease.clone());
        }
        Ok(acquired)
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        self.kind(inner.fetch(&self.lease(Stale::Fetch, lease), limits).await)
    }

    async fn read(&self, inner: &MemoryStore, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        self.kind(inner.read(&self.lease(Stale::Read, lease), seqs).await)
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        if self.0 == Stale::SettleAnyway && self.lease(self.0, lease) != *lease {
            inner.settle(&self.lease(self.0, lease), settlement).await?;
        }
        self.kind(inner.settle(&self.lease(Stale::Settle, lease), settlement).await)
    }

    async fn release(&self, inner: &MemoryStore, lease: &Lease) -> Result<(), StoreError> {
        self.kind(inner.release(&self.lease(Stale::Release, lease)).await)
    }
}

/// A release says that it is done, and does nothing.
#[derive(Debug, Default)]
pub(crate) struct NeverReleases;

#[async_trait]
impl Defect for NeverReleases {
    async fn release(&self, inner: &MemoryStore, lease: &Lease) -> Result<(), StoreError> {
        inner.settle(lease, &Settlement::default()).await
    }
}

/// Keeps its own books of who holds a lease until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Books {
    /// A lease that expired stays with its owner.
    NeverExpires,
    /// The owner itself has to wait until its lease expires.
    OwnerWaits,
    /// A settlement does not renew the lease.
    NoRenewal,
}

#[derive(Debug)]
pub(crate) struct BookKeeper(Books, Mutex<HashMap<String, (u128, Instant)>>);

impl BookKeeper {
    pub(crate) fn new(books: Books) -> Self {
        Self(books, Mutex::default())
    }
}

#[async_trait]
impl Defect for BookKeeper {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let known = lock(&self.1).get(&request.relay).copied();
        if let Some((owner, until)) = known {
            let (left, same) = (until.saturating_duration_since(now()), owner == request.owner);
            let held = match self.0 {
                Books::NeverExpires => !same,
                Books::OwnerWaits => !left.is_zero(),
                Books::NoRenewal => !same && !left.is_zero(),
            };
            if held {
                return Ok(Acquired::Held(left.max(Duration::from_secs(1))));
            }
        }
        // The books decide, so the store below sees one owner only.
        let mut as_one = request.clone();
        as_one.owner = 0;
        lock(&self.1).insert(request.relay.clone(), (request.owner, now() + LEASE));
        inner.acquire(&as_one).await
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        inner.settle(lease, settlement).await?;
        if let Some(entry) = lock(&self.1).get_mut(&lease.relay).filter(|_| self.0 != Books::NoRenewal) {
            entry.1 = now() + LEASE;
        }
        Ok(())
    }

    async fn release(&self, inner: &MemoryStore, lease: &Lease) -> Result<(), StoreError> {
        inner.release(lease).await?;
        lock(&self.1).remove(&lease.relay);
        Ok(())
    }
}

/// Every lease has the epoch 1; a token tells them apart.
#[derive(Debug, Default)]
pub(crate) struct ConstantEpoch;

fn real(lease: &Lease) -> Lease {
    Lease { epoch: i64::try_from(lease.token).unwrap_or(i64::MAX), token: 0, ..lease.clone() }
}

#[async_trait]
impl Defect for ConstantEpoch {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        Ok(match inner.acquire(request).await? {
            Acquired::Yes(lease, parked) => {
                let token = u128::from(lease.epoch.unsigned_abs());
                Acquired::Yes(Lease { epoch: 1, token, ..lease }, parked)
            }
            held => held,
        })
    }

    async fn fetch(&self, inner: &MemoryStore, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        inner.fetch(&real(lease), limits).await
    }

    async fn read(&self, inner: &MemoryStore, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        inner.read(&real(lease), seqs).await
    }

    async fn settle(&self, inner: &MemoryStore, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        inner.settle(&real(lease), settlement).await
    }

    async fn release(&self, inner: &MemoryStore, lease: &Lease) -> Result<(), StoreError> {
        inner.release(&real(lease)).await
    }
}

/// Tells the length of a lease instead of what is left of it.
#[derive(Debug, Default)]
pub(crate) struct TellsWholeLease;

#[async_trait]
impl Defect for TellsWholeLease {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        Ok(match inner.acquire(request).await? {
            Acquired::Held(_) => Acquired::Held(LEASE),
            yes => yes,
        })
    }
}

/// A release gives up the leases of all names.
#[derive(Debug, Default)]
pub(crate) struct ReleasesAll(Mutex<Vec<Lease>>);

#[async_trait]
impl Defect for ReleasesAll {
    async fn acquire(&self, inner: &MemoryStore, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let acquired = inner.acquire(request).await?;
        if let Acquired::Yes(lease, _) = &acquired {
            lock(&self.0).push(lease.clone());
        }
        Ok(acquired)
    }

    async fn release(&self, inner: &MemoryStore, lease: &Lease) -> Result<(), StoreError> {
        inner.release(lease).await?;
        let all = std::mem::take(&mut *lock(&self.0));
        for lease in all {
            _ = inner.release(&lease).await;
        }
        Ok(())
    }
}
