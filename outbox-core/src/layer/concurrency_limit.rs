use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Layer;
use super::line::Line;
use crate::{Batch, Outcomes, Transport};

/// At most so many publishes at once, over all transports made by this layer and its clones. First come, first served.
///
/// A publish that waits does so within the relay's deadline: see [how long](super#how-long-a-publish-may-wait).
#[derive(Debug, Clone)]
pub struct ConcurrencyLimitLayer {
    free: Arc<Semaphore>,
}

impl ConcurrencyLimitLayer {
    /// `max` publishes; 0 counts as 1.
    pub fn new(max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS))) }
    }
}

impl<T: Transport> Layer<T> for ConcurrencyLimitLayer {
    type Service = ConcurrencyLimit<T>;

    fn layer(&self, inner: T) -> ConcurrencyLimit<T> {
        ConcurrencyLimit { line: Line::of(&inner), inner, free: self.free.clone() }
    }
}

/// See [`ConcurrencyLimitLayer`].
#[derive(Debug)]
pub struct ConcurrencyLimit<T> {
    inner: T,
    line: Line,
    free: Arc<Semaphore>,
}

super::transport!(ConcurrencyLimit, paced);

impl<T: Transport> ConcurrencyLimit<T> {
    async fn forward(&self, batch: Batch, out: &Outcomes) {
        self.line.publish(&self.inner, batch, out, self.free.acquire()).await;
    }
}
