use std::sync::Arc;

use futures_util::future::{FutureExt, join_all};
use tokio::sync::Notify;

use super::{Relay, RelayError};

/// Several relays in one process: several transports, several outboxes, or several lanes of one.
///
/// Lanes are names with disjoint topics over one log. Each has its own lease, cursor, window and circuit breaker, so an
/// outage of one's transport, or one that panics, leaves the others alone. All run in one task: none may block it.
#[derive(Debug, Default)]
pub struct RelayGroup {
    relays: Vec<Arc<dyn Relay>>,
}

impl RelayGroup {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a relay.
    #[must_use]
    pub fn with(mut self, relay: impl Relay) -> Self {
        self.relays.push(Arc::new(relay));
        self
    }

    /// Runs all until `shutdown` completes. One that stops with an error (a schema that does not fit; never an outage)
    /// ends the others, each with a drain.
    ///
    /// # Errors
    /// The first error of a relay.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RelayError> {
        let stop = Arc::new(Notify::new());
        let relays = self.relays.iter().map(|relay| {
            let stop = stop.clone();
            let stopped = stop.clone().notified_owned();
            async move {
                let result = relay.run_until(Box::pin(stopped)).await;
                stop.notify_waiters();
                result
            }
        });
        let mut all = std::pin::pin!(join_all(relays).fuse());
        let mut shutdown = std::pin::pin!(shutdown.fuse());
        let results = tokio::select! {
            results = &mut all => results,
            () = &mut shutdown => {
                stop.notify_waiters();
                all.await
            }
        };
        results.into_iter().collect()
    }
}
