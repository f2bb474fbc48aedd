use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join;
use tokio::time::{Instant, timeout_at};

use super::Layer;
use super::bucket::Bucket;
use super::line::Line;
use super::part::Part;
use crate::{Batch, Outcomes, Transport};

/// Catches up after an outage at a set pace: messages that are old when they are published go at so many a second, over
/// all transports made by this layer and its clones, and fresh ones are not held up by it. So a lane that catches up
/// leaves the broker to the fresh messages of the others.
///
/// Around a `OneInFlight` transport the fresh messages of a batch are handed over at once, beside its old ones. Around
/// a [`Gapless`](crate::KeyOrder::Gapless) one a batch stays whole and in its place, so a fresh message waits for old
/// ones before it.
///
/// A [`ConcurrencyLimitLayer`](super::ConcurrencyLimitLayer) belongs inside of it: around it, what waits for its pace
/// would keep the fresh messages out.
///
/// # Bounds
/// No publish waits longer than half the [deadline](Self::deadline) from its first poll: then it goes in any case. So
/// catching up never looks like an outage, and costs no attempts. The pace is kept where what is under way together
/// fits into that time: from `8 * batch / (deadline / 2)` messages a second on, which is 800 with the relay's defaults.
/// For a slower pace set a smaller [`batch`](crate::RelayBuilder::batch): for 100 a second one of 60.
///
/// Whether a message is old is told by the clock of this process and the time at which the database stored it: `fresh`
/// should be above what these clocks differ by.
#[derive(Clone)]
pub struct CatchUpLayer {
    bucket: Arc<Bucket>,
    fresh: Duration,
    longest: Duration,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl CatchUpLayer {
    /// Old messages go at so many a second; 0 counts as 1.
    pub fn new(messages_per_second: u64) -> Self {
        Self {
            bucket: Arc::new(Bucket::new(messages_per_second, Duration::from_secs(1), 1)),
            fresh: Duration::from_secs(10),
            longest: Duration::from_secs(5),
            clock: Arc::new(SystemTime::now),
        }
    }

    /// Up to which age a message is fresh. Default 10 s.
    #[must_use]
    pub fn fresh(mut self, age: Duration) -> Self {
        self.fresh = age;
        self
    }

    /// The relay's [publish deadline](crate::RelayBuilder::publish_deadline), where that is not its default of 10 s. A
    /// publish waits for half of it at most.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.longest = deadline / 2;
        self
    }

    /// What tells the time of day, for tests. Default: the system's clock.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(now);
        self
    }
}

impl fmt::Debug for CatchUpLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchUpLayer")
            .field("messages_per_second", &self.bucket.messages())
            .field("fresh", &self.fresh)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Layer<T> for CatchUpLayer {
    type Service = CatchUp<T>;

    fn layer(&self, inner: T) -> CatchUp<T> {
        CatchUp { line: Line::of(&inner), inner, layer: self.clone() }
    }
}

/// See [`CatchUpLayer`].
#[derive(Debug)]
pub struct CatchUp<T> {
    inner: T,
    line: Line,
    layer: CatchUpLayer,
}

super::transport!(CatchUp, paced);

impl<T: Transport> CatchUp<T> {
    async fn forward(&self, batch: Batch, out: &Outcomes) {
        let (old, fresh) = self.layer.by_age(&batch);
        if self.line.is_gapless() || old.is_empty() || fresh.is_empty() {
            let paced = self.layer.paced(old.len());
            return self.line.publish(&self.inner, batch, out, paced).await;
        }
        // One of each key is in flight, so these are of different keys.
        let (fresh, old) = (Part::new(&batch, fresh, out), Part::new(&batch, old, out));
        let later = async {
            self.layer.paced(old.batch().len()).await;
            self.inner.publish(old.batch(), old.said()).await;
        };
        join(self.inner.publish(fresh.batch(), fresh.said()), later).await;
    }
}

impl CatchUpLayer {
    /// The places of the old messages, and those of the fresh.
    fn by_age(&self, batch: &Batch) -> (Vec<usize>, Vec<usize>) {
        let since = (self.clock)().checked_sub(self.fresh).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let since = since.map_or(i64::MIN, |at| i64::try_from(at.as_micros()).unwrap_or(i64::MAX));
        (0..batch.len()).partition(|i| batch.get(*i).created_at_micros() < since)
    }

    /// Waits until so many old messages may go.
    async fn paced(&self, messages: usize) {
        let until = Instant::now() + self.longest;
        if timeout_at(until, self.bucket.take(messages as u64)).await.is_err() {
            self.bucket.overdraw(messages as u64);
        }
    }
}
