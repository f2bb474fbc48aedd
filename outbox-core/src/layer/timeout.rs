use std::time::Duration;

use super::Layer;
use crate::{Batch, Outcomes, Transport};

/// Bounds every publish of the inner transport: what it has not said by then is unknown, and its future is dropped.
///
/// For a limit below the relay's own deadline, and for one that counts from when a limit let the publish through: put
/// it inside of that.
#[derive(Debug, Clone, Copy)]
pub struct TimeoutLayer {
    limit: Duration,
}

impl TimeoutLayer {
    /// `limit` is counted from the first poll of a publish.
    pub const fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<T: Transport> Layer<T> for TimeoutLayer {
    type Service = Timeout<T>;

    fn layer(&self, inner: T) -> Timeout<T> {
        Timeout { inner, limit: self.limit }
    }
}

/// See [`TimeoutLayer`].
#[derive(Debug)]
pub struct Timeout<T> {
    inner: T,
    limit: Duration,
}

super::transport!(Timeout);

impl<T: Transport> Timeout<T> {
    async fn forward(&self, batch: Batch, out: &Outcomes) {
        if tokio::time::timeout(self.limit, self.inner.publish(batch, out)).await.is_ok() {
            return;
        }
        let reason = format!("no answer within {:?}, the limit of the timeout layer", self.limit);
        (0..out.len()).filter(|i| out.is_unsaid(*i)).for_each(|i| out.unknown(i, reason.as_str()));
    }
}
