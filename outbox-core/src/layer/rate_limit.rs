use std::sync::Arc;
use std::time::Duration;

use super::Layer;
use super::bucket::Bucket;
use super::line::Line;
use crate::{Batch, Outcomes, Transport};

/// At most so many messages in a time, over all transports made by this layer and its clones. First come, first served.
///
/// A token bucket: a batch takes a token for each of its messages and is never split. One that is larger than the burst
/// goes when the bucket is full, and what comes behind it waits the longer: the rate holds.
///
/// A publish that waits does so within the relay's deadline: see [how long](super#how-long-a-publish-may-wait).
#[derive(Debug, Clone)]
pub struct RateLimitLayer {
    bucket: Arc<Bucket>,
}

impl RateLimitLayer {
    /// `messages` in each `per`. A zero counts as the smallest that is not. The burst is `messages`.
    pub fn new(messages: u64, per: Duration) -> Self {
        Self { bucket: Arc::new(Bucket::new(messages, per, messages)) }
    }

    /// How many messages may go at once after a pause. To be set before the layer is cloned or used; 0 counts as 1.
    #[must_use]
    pub fn burst(self, messages: u64) -> Self {
        Self { bucket: Arc::new(Bucket::new(self.bucket.messages(), self.bucket.per(), messages)) }
    }
}

impl<T: Transport> Layer<T> for RateLimitLayer {
    type Service = RateLimit<T>;

    fn layer(&self, inner: T) -> RateLimit<T> {
        RateLimit { line: Line::of(&inner), inner, bucket: self.bucket.clone() }
    }
}

/// See [`RateLimitLayer`].
#[derive(Debug)]
pub struct RateLimit<T> {
    inner: T,
    line: Line,
    bucket: Arc<Bucket>,
}

super::transport!(RateLimit, paced);

impl<T: Transport> RateLimit<T> {
    async fn forward(&self, batch: Batch, out: &Outcomes) {
        let tokens = batch.len() as u64;
        self.line.publish(&self.inner, batch, out, self.bucket.take(tokens)).await;
    }
}
