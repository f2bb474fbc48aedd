use std::sync::Arc;

use outbox_core::transport::Outcome;
use outbox_core::{Batch, BoxError, Finding, Outcomes, Transport, TransportCapabilities, async_trait};

use super::said::Acknowledged;
use super::trap::{Point, Traps};

/// A transport with traps, which prints what the broker acknowledges. Its `publish` hands over at its first poll where
/// the inner one does.
#[derive(Debug)]
pub(super) struct WatchedTransport {
    pub(super) inner: Box<dyn Transport>,
    pub(super) traps: Arc<Traps>,
    /// Messages of some keys are not handed over at all, and said to be unknown: the relay parks them.
    pub(super) refuses: bool,
}

/// Passes on what was said, also where the relay gives up waiting.
struct PassedOn<'a> {
    /// Said by the inner transport about a batch that has these places in the relay's.
    inner: Outcomes,
    places: Vec<usize>,
    out: &'a Outcomes,
}

impl Drop for PassedOn<'_> {
    fn drop(&mut self) {
        self.inner.close();
        for (i, place) in self.places.iter().enumerate() {
            match self.inner.get(i) {
                Outcome::Delivered => self.out.delivered(*place),
                Outcome::Unknown(Some(why)) => self.out.unknown(*place, why),
                Outcome::Rejected(why) => self.out.reject(*place, why),
                Outcome::Destination(why) => self.out.destination(*place, why),
                // Nothing was said.
                _ => {}
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Transport for WatchedTransport {
    fn capabilities(&self) -> TransportCapabilities {
        self.inner.capabilities()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        self.traps.pass(Point::PublishBefore);
        let refused = |i: &usize| self.refuses && batch.get(*i).key().is_some_and(|key| key.ends_with('7'));
        let (refused, places): (Vec<_>, Vec<_>) = (0..batch.len()).partition(refused);
        refused.into_iter().for_each(|i| out.unknown(i, "not handed over"));
        let handed = Batch::from_slots(places.iter().map(|i| batch.slot(*i)).collect());
        let said = PassedOn { inner: Outcomes::new(handed.len()), places, out };
        if !handed.is_empty() {
            self.inner.publish(handed.clone(), &said.inner).await;
        }
        let delivered = handed.iter().filter(|m| said.inner.get(m.index()) == Outcome::Delivered);
        let (mut messages, mut newest) = (0, 0);
        for m in delivered {
            (messages, newest) = (messages + 1, newest.max(m.created_at_micros()));
        }
        if messages > 0 {
            self.traps.pass(Point::PublishAcknowledged);
            println!("{}", Acknowledged { messages, newest });
        }
    }

    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        self.inner.check(topics).await
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.inner.close().await
    }
}
