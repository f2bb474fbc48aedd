//! How long a publish may take, by event type.

use std::sync::{Arc, Mutex};

use outbox_core::memory::MemoryStore;
use outbox_core::{Batch, Outcomes, Relay, RetryPolicy, StoreRelay, Transport, TransportCapabilities, async_trait};
use tokio::time::{Instant, sleep};

use crate::broker::{SECOND, enqueue, until};

/// Answers each publish after six seconds; knows how many it began.
#[derive(Debug, Clone, Default)]
struct Slow(Arc<Mutex<(u32, Vec<String>)>>);

#[async_trait]
impl Transport for Slow {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        self.0.lock().unwrap().0 += 1;
        sleep(SECOND * 6).await;
        for m in batch.iter() {
            self.0.lock().unwrap().1.push(m.event_type().to_owned());
            out.delivered(m);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_of_a_publish_counts() {
    let patient = RetryPolicy::new().publish_deadline(SECOND * 8);
    for (events, stored) in [
        (&["t report k 1"][..], &["report"][..]),
        (&["t report k 1", "t other l 2"], &["report", "other"]),
        (&["t other l 2"], &[]),
    ] {
        let (store, slow) = (MemoryStore::new(), Slow::default());
        let relay = StoreRelay::builder("test", store.clone(), slow.clone());
        let relay = relay.publish_deadline(SECOND * 2).retry_policy_for(["report"], patient).build().expect("valid");
        enqueue(&store, events.iter().copied());
        let (begun, stopped) = (Instant::now(), relay.clone());
        let running = tokio::spawn(async move { stopped.run(std::future::pending()).await });
        until(|| slow.0.lock().unwrap().0 == 1).await;
        until(|| begun.elapsed() > SECOND * 7).await;
        assert_eq!(slow.0.lock().unwrap().1, stored, "{events:?}");
        assert_eq!(relay.handle().stats().outages, u64::from(stored.is_empty()), "{events:?}");
        running.abort();
    }
}
