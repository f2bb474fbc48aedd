//! What a successor is handed out again, where what is not settled lies scattered.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

mod both;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use both::{SOON, Shop, on_both, tags};
use outbox_core::memory::MemoryTransport;
use outbox_core::{Batch, Message, Outcomes, Relay, StoreRelay, Transport, TransportCapabilities, async_trait};
use testkit::eventually;

on_both!(
    thousands_of_gaps_are_taken_over_within_the_lease,
    a_crash_behind_a_key_with_a_long_backlog_repeats_a_window_and_not_all_that_came_since,
);

/// As many keys leave them that wait with one message in flight each.
async fn thousands_of_gaps_are_taken_over_within_the_lease<S: Shop>() {
    let shop = S::open().await;
    shop.numbered("t", 1..=20_000).await;
    let to = MemoryTransport::new();
    shop.relay("a", &to).until_drained(SOON).await.unwrap();
    assert_eq!(tags(&to).len(), 20_000);
    let postgres = shop.migrations()[0].contains("timestamptz");
    let gaps = if postgres {
        "select range_agg(int8range(seq, seq, '[]')) from outbox_message where seq % 4 = 2"
    } else {
        "select json_group_array(json_array(seq, seq)) from outbox_message where seq % 4 = 2"
    };
    shop.run(&format!("update outbox_relay set floor = 0, unsettled = ({gaps})")).await;
    assert_eq!(shop.relay("a", &to).until_drained(SOON).await.unwrap(), 5_000);
    let expected: Vec<String> = (1..=20_000).filter(|n| n % 4 == 2).map(|n: i64| n.to_string()).collect();
    assert_eq!(tags(&to), expected);
}

/// Never answers the key `hot`.
#[derive(Debug, Clone)]
struct Waits(MemoryTransport);

#[async_trait]
impl Transport for Waits {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        if batch.iter().any(|m| m.key() == Some("hot")) {
            std::future::pending::<()>().await;
        }
        self.0.publish(batch, out).await;
    }
}

/// A key that is quick to be written and slow to be delivered: the cursor has no room for each of its messages.
async fn a_crash_behind_a_key_with_a_long_backlog_repeats_a_window_and_not_all_that_came_since<S: Shop>() {
    const WINDOW: usize = 400;
    let shop = S::open().await;
    let key = |n: i64| if n % 10 == 0 { "hot".to_owned() } else { n.to_string() };
    shop.write((0..6_000).map(|n: i64| Message::new("t", n.to_string()).key(key(n))).collect()).await;
    let to = MemoryTransport::new();
    let relay = StoreRelay::builder("a", shop.store(), Waits(to.clone()));
    let relay = relay.lease(SOON * 4).publish_deadline(SOON).batch(50).window(WINDOW, 64 << 20).build().unwrap();
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    let last = Mutex::new((0, Instant::now()));
    eventually("nothing moves any more", SOON, async || {
        let (delivered, mut last) = (relay.handle().stats().delivered, last.lock().unwrap());
        if delivered != last.0 {
            *last = (delivered, Instant::now());
        }
        delivered > 2 * WINDOW as u64 && last.1.elapsed() > Duration::from_secs(2)
    })
    .await;
    running.abort();
    shop.run("update outbox_relay set owner = null").await;
    let before = tags(&to).len();
    shop.relay("a", &to).until_drained(SOON).await.unwrap();
    let repeated = before + tags(&to).len() - 6_000;
    assert!(before > 2 * WINDOW, "{before} were delivered before the crash");
    assert!(repeated <= 2 * WINDOW, "{repeated} came twice, of {before}");
}
