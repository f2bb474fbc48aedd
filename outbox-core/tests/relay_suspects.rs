//! A message that was parked fails again, and nothing else does: is it the message, or an outage?

use std::sync::Mutex;
use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    Batch, BoxError, Message, MessageRef, Outcomes, Relay, StoreRelay, Transport, TransportCapabilities, async_trait,
    transport,
};
use tokio::time::{Instant, sleep};

/// The payload of the message in question.
const BAD: &[u8] = b"3";

/// A transport that has several publishes under way.
#[derive(Debug)]
struct Several<T>(T);

#[async_trait]
impl<T: Transport> Transport for Several<T> {
    fn capabilities(&self) -> TransportCapabilities {
        self.0.capabilities().publishes(8)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        self.0.publish(batch, out).await;
    }
}

fn write(store: &MemoryStore, messages: impl IntoIterator<Item = (String, String)>) {
    let mut tx = store.begin();
    for (key, text) in messages {
        tx.enqueue(Message::new("orders", "order.created").key(key).text(text)).expect("valid");
    }
    tx.commit();
}

/// A relay that runs with 30 messages of three keys, and tries again at once.
fn running<F, Fut>(store: &MemoryStore, outage: Duration, attempts: u32, publish: F) -> StoreRelay
where
    F: Fn(MessageRef<'_>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    write(store, (0..30).map(|n| ((n % 3).to_string(), n.to_string())));
    let (first, max) = (Duration::from_millis(1), Duration::from_millis(4));
    let relay = StoreRelay::builder("test", store.clone(), Several(transport::from_fn(publish)));
    let relay = relay.retry(first, max).outage(outage, outage).max_attempts(attempts).build().expect("valid settings");
    tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    relay
}

/// Traffic of other keys, each of which has one message.
async fn traffic(store: &MemoryStore, keys: std::ops::Range<usize>, every: Duration) {
    for key in keys {
        write(store, [(format!("other-{key}"), "other".to_owned())]);
        sleep(every).await;
    }
}

/// It fails while others are under way that were handed over before it and after it, and are delivered.
#[tokio::test(start_paused = true)]
async fn a_message_that_fails_again_and_again_stops_no_traffic() {
    for fails_after in [0, 30] {
        let store = MemoryStore::new();
        let relay = running(&store, Duration::from_secs(5), 10_000, move |m| {
            let bad = m.payload() == BAD;
            async move {
                sleep(Duration::from_millis(if bad { fails_after } else { 50 })).await;
                if bad { Err("no answer".into()) } else { Ok(()) }
            }
        });
        let mut before = 0;
        for slot in 0..20 {
            traffic(&store, slot * 25..slot * 25 + 25, Duration::from_millis(20)).await;
            let stats = relay.handle().stats();
            assert!(
                stats.delivered > before,
                "{fails_after} ms: nothing went in half a second: slot {slot}, {stats:?}"
            );
            before = stats.delivered;
        }
        let stats = relay.handle().stats();
        assert!(stats.failed >= 20 && stats.dead == 0, "{stats:?}");
    }
}

/// The broker goes away while the message is tried again. What was handed over before is delivered all the same.
#[tokio::test(start_paused = true)]
async fn what_is_delivered_from_before_an_outage_costs_no_attempt() {
    let store = MemoryStore::new();
    let tries = Mutex::new(Vec::new());
    let relay = running(&store, Duration::from_millis(4), 10_000, move |m| {
        let (mut tries, now) = (tries.lock().unwrap(), Instant::now());
        let bad = m.payload() == BAD;
        if bad {
            tries.push(now);
        }
        let first = bad && tries.len() == 1;
        let away = tries.get(1).is_some_and(|since| now < *since + Duration::from_secs(1));
        async move {
            if first || away {
                return Err("no answer".into());
            }
            sleep(Duration::from_millis(if bad { 1 } else { 50 })).await;
            Ok(())
        }
    });
    traffic(&store, 0..400, Duration::from_millis(5)).await;
    sleep(Duration::from_secs(5)).await;
    let stats = relay.handle().stats();
    assert_eq!((stats.delivered, stats.failed, stats.parked), (430, 1, 0), "{stats:?}");
    assert!(stats.outages > 0, "{stats:?}");
}

/// Messages that fail together, time and again, look like an outage in the midst of a publish, but not for ever.
#[tokio::test(start_paused = true)]
async fn messages_that_fail_together_beside_others_are_given_up_all_the_same() {
    let store = MemoryStore::new();
    let tries = std::sync::Arc::new(Mutex::new(0));
    let tried = tries.clone();
    let relay = running(&store, Duration::from_millis(4), 5, move |m| {
        let bad = [b"3".as_slice(), b"4"].contains(&m.payload());
        *tried.lock().unwrap() += u32::from(bad);
        async move { if bad { Err("no answer".into()) } else { Ok(()) } }
    });
    traffic(&store, 0..1_000, Duration::from_millis(5)).await;
    sleep(Duration::from_secs(60)).await;
    let stats = relay.handle().stats();
    assert_eq!((stats.delivered, stats.dead, stats.failed), (1_028, 2, 10), "{stats:?}");
    let tries = *tries.lock().unwrap();
    assert!(tries > 10, "{tries}: at the first they were let off");
}
