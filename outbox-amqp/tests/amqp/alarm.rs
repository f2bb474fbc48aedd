//! A broker that is short of memory blocks its publishers.

use outbox_core::memory::MemoryStore;
use outbox_core::{Message, Relay, StoreRelay};
use testkit::eventually;

use super::*;

const MESSAGES: usize = 5_000;

fn enqueue(store: &MemoryStore, topic: &str, range: std::ops::Range<usize>) {
    let mut tx = store.begin();
    for n in range {
        tx.enqueue(Message::new(topic, "order.created").key(n % 50).text(n.to_string())).expect("valid");
    }
    tx.commit();
}

async fn watermark(broker: &RabbitMq, share: &str) {
    broker.exec(&["rabbitmqctl", "set_vm_memory_high_watermark", share]).await;
}

/// Where the connections of this name come from.
async fn connections(broker: &RabbitMq, name: &str) -> Vec<String> {
    let all = broker.exec(&["rabbitmqctl", "-q", "list_connections", "name", "client_properties"]).await;
    let named = all.lines().filter(|line| line.contains(&format!("{name:?}")));
    named.filter_map(|line| line.split('\t').next()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_costs_no_attempt_and_loses_nothing() {
    let broker = RabbitMq::own().await;
    let topic = broker.queue("alarm", true).await;
    let store = MemoryStore::new();
    let relay = StoreRelay::builder("alarm", store.clone(), connect(broker.url()))
        .outage(Duration::from_millis(50), Duration::from_millis(200))
        .build()
        .expect("valid settings");
    let handle = relay.handle();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move { relay.run(async move { _ = stopped.await }).await });
    enqueue(&store, &topic, 0..500);
    eventually("the first are delivered", SOON, async || handle.stats().delivered == 500).await;

    watermark(&broker, "0.0000001").await;
    enqueue(&store, &topic, 500..MESSAGES);
    eventually("the outage is seen", SOON, async || handle.stats().outages > 0).await;
    let seen = handle.stats();
    assert!(seen.delivered < MESSAGES as u64, "the alarm came too late: {seen:?}");
    // Promptly, with the reason, and without a frame to the broker.
    let other = AmqpTransport::connect(AmqpConfig::new(broker.url()).connection_name("other")).expect("valid settings");
    eventually("another publisher is told", SOON, async || {
        let said = publish(&other, &numbers(&topic, 0..1_000), Duration::from_secs(5)).await;
        let told = said.iter().any(|o| matches!(o, Outcome::Unknown(Some(why)) if why.contains("alarm")));
        told && all_unknown(&said)
    })
    .await;
    let before = connections(&broker, "other").await;
    let start = tokio::time::Instant::now();
    for _ in 0..100 {
        let said = publish(&other, &numbers(&topic, 0..1_000), Duration::from_secs(5)).await;
        assert!(all_unknown(&said));
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(connections(&broker, "other").await, before, "the one connection waits");

    watermark(&broker, "0.6").await;
    eventually("all are delivered", SOON, async || handle.stats().delivered == MESSAGES as u64).await;
    let seen = handle.stats();
    assert_eq!((seen.failed, seen.dead, seen.parked), (0, 0, 0), "{seen:?}");
    // What the blocked connection still held is not sent once more by it.
    let last = numbers(&topic, 0..1);
    eventually("the other publisher goes on", SOON, async || all_delivered(&publish(&other, &last, SOON).await)).await;
    eventually("its connection was replaced", SOON, async || {
        let after = connections(&broker, "other").await;
        after.len() == 1 && after != before
    })
    .await;
    _ = stop.send(());
    running.await.expect("no panic").expect("no error");

    let mut last = vec![None; 50];
    let mut there = vec![false; MESSAGES];
    for n in texts(&broker, &topic).await.iter().map(|n| n.parse::<usize>().expect("a number")) {
        if !std::mem::replace(&mut there[n], true) {
            assert!(last[n % 50] < Some(n), "of the key {} {n} came after {:?}", n % 50, last[n % 50]);
            last[n % 50] = Some(n);
        }
    }
    assert!(there.iter().all(|there| *there), "something is lost");
}
