//! Stores whose desk is wrong.

use std::sync::Arc;

use outbox_core::admin::{Admin, DeadLetterFilter, DeadMessage, Orders, Paused, WaitingMessage};
use outbox_core::memory::MemoryStore;
use outbox_core::{MessageId, Store, StoreError, async_trait};

use crate::broken::Defect;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Desk {
    ListsAllKeys,
    ForgetsAttempts,
    LosesReplayed,
    ReplaysAtOnce,
    DiscardsNothing,
    RetriesNothing,
    ForgetsKeys,
    ConstantRevision,
}

#[async_trait]
impl Defect for Desk {
    fn admin(&self, inner: &MemoryStore) -> Option<Arc<dyn Admin>> {
        let inner = inner.admin()?;
        Some(Arc::new(Wrong { inner, desk: *self }))
    }

    async fn orders(&self, inner: &MemoryStore, relay: &str) -> Result<Orders, StoreError> {
        let orders = inner.orders(relay).await?;
        Ok(match self {
            Self::ForgetsKeys => Orders { paused_keys: Vec::new(), ..orders },
            Self::ConstantRevision => Orders { revision: 1, ..orders },
            _ => orders,
        })
    }
}

#[derive(Debug)]
struct Wrong {
    inner: Arc<dyn Admin>,
    desk: Desk,
}

#[async_trait]
impl Admin for Wrong {
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&DeadMessage>,
        limit: usize,
    ) -> Result<Vec<DeadMessage>, StoreError> {
        let mut filter = filter.clone();
        if self.desk == Desk::ListsAllKeys {
            filter.key = None;
        }
        let mut letters = self.inner.dead_letters(&filter, after, limit).await?;
        if self.desk == Desk::ForgetsAttempts {
            letters.iter_mut().for_each(|dead| dead.history.truncate(1));
        }
        Ok(letters)
    }

    async fn replay(&self, filter: &DeadLetterFilter, per_second: Option<u32>) -> Result<u64, StoreError> {
        match self.desk {
            Desk::LosesReplayed if per_second.is_none() => self.inner.discard(filter).await,
            Desk::ReplaysAtOnce => self.inner.replay(filter, None).await,
            _ => self.inner.replay(filter, per_second).await,
        }
    }

    async fn discard(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        if self.desk == Desk::DiscardsNothing {
            return Ok(self.inner.dead_letters(filter, None, usize::MAX).await?.len() as u64);
        }
        self.inner.discard(filter).await
    }

    async fn waiting(
        &self,
        relay: &str,
        after: Option<&WaitingMessage>,
        limit: usize,
    ) -> Result<Vec<WaitingMessage>, StoreError> {
        self.inner.waiting(relay, after, limit).await
    }

    async fn retry(&self, relay: &str, key: Option<&str>) -> Result<u64, StoreError> {
        if self.desk == Desk::RetriesNothing {
            self.inner.retry(relay, Some("no such key")).await?;
            return Ok(1);
        }
        self.inner.retry(relay, key).await
    }

    async fn give_up(&self, relay: &str, id: MessageId) -> Result<bool, StoreError> {
        self.inner.give_up(relay, id).await
    }

    async fn pause(&self, relay: &str) -> Result<(), StoreError> {
        self.inner.pause(relay).await
    }

    async fn resume(&self, relay: &str) -> Result<(), StoreError> {
        self.inner.resume(relay).await
    }

    async fn pause_key(&self, relay: &str, key: &str) -> Result<(), StoreError> {
        self.inner.pause_key(relay, key).await
    }

    async fn resume_key(&self, relay: &str, key: &str) -> Result<(), StoreError> {
        self.inner.resume_key(relay, key).await
    }

    async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        self.inner.paused().await
    }
}
