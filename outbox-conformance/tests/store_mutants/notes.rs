//! Stores that keep wrong notes of those who held a name before.

use outbox_core::memory::MemoryStore;
use outbox_core::{Crashes, Lease, Store, StoreError, async_trait};

use crate::broken::Defect;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notes {
    CountsTwice,
    ForgetsSuspect,
}

#[async_trait]
impl Defect for Notes {
    async fn crashes(&self, inner: &MemoryStore, lease: &Lease) -> Result<Crashes, StoreError> {
        let crashes = inner.crashes(lease).await?;
        Ok(match self {
            Self::CountsTwice => Crashes { count: crashes.count * 2, ..crashes },
            Self::ForgetsSuspect => Crashes { suspect: None, ..crashes },
        })
    }
}
