//! A topic that gets no answer, or is missing, beside others: no message of it pays for that, and none of the others.

use outbox_core::memory::MemoryStore;
use outbox_core::{KeyOrder, Relay, RelayEvent};
use tokio::time::Instant;

use crate::broker::{BOTH, Broker, SECOND, Say, enqueue, until};

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_silent_beside_others_is_held_and_costs_no_attempt() {
    for order in BOTH {
        let (store, begin) = (MemoryStore::new(), Instant::now());
        let broker = Broker::new(order, move |m, _| match m.topic() {
            "full" if begin.elapsed() < SECOND * 3_000 => Say::Nothing,
            _ => Say::Yes,
        });
        let relay = broker.relay(&store).max_attempts(1).build().expect("valid settings");
        let task = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        for minute in 0..60 {
            let (a, b, c) = (format!("full e a {minute}a"), format!("full e b {minute}b"), format!("t e c {minute}c"));
            enqueue(&store, [&*a, &*b, &*c]);
            tokio::time::sleep(SECOND * 60).await;
        }
        tokio::time::sleep(SECOND * 60).await;
        assert_eq!(broker.stored().len(), 180, "{:?}", relay.handle().stats());
        task.abort();
        let stats = relay.handle().stats();
        assert_eq!((stats.failed, stats.dead, stats.outages), (0, 0, 0), "{order:?}");
        for key in ["a", "b", "c"] {
            let of_key = broker.stored().into_iter().filter_map(|text| text.strip_suffix(key)?.parse().ok());
            let of_key: Vec<u32> = of_key.collect();
            assert!(of_key.len() == 60 && of_key.is_sorted(), "{order:?} {key}: {of_key:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_fail_by_themselves_are_not_taken_for_a_silent_topic_for_ever() {
    for order in BOTH {
        // Two keys fail always, and others of the topic never.
        let broker = Broker::new(order, |m, _| if m.key() == Some("c") { Say::Yes } else { Say::Nothing });
        let store = MemoryStore::new();
        let relay = broker.relay(&store).max_attempts(3).build().expect("valid settings");
        enqueue(&store, ["t e a 1", "t e b 2", "u e c 0"]);
        let task = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        while relay.handle().stats().dead < 2 {
            enqueue(&store, ["t e c 0", "u e c 0"]);
            tokio::time::sleep(SECOND).await;
        }
        task.abort();
        let attempts = (broker.attempts("1"), broker.attempts("2"));
        // Attempts that nothing told from those of an absent topic are not counted.
        assert!(attempts.0 <= 20 && attempts.1 <= 20, "{order:?} {attempts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_topic_does_not_make_an_outage_cost_attempts() {
    let (store, begin) = (MemoryStore::new(), Instant::now());
    // Known without the broker, which is away.
    let broker = Broker::new(KeyOrder::OneInFlight, move |m, _| match m.topic() {
        "missing" => Say::NoTopic,
        _ if begin.elapsed() < SECOND * 600 => Say::Nothing,
        _ => Say::Yes,
    });
    enqueue(&store, ["missing e a 1", "t e b 2", "t e c 3", "missing e d 4"]);
    let relay = broker.relay(&store).max_attempts(1).build().expect("valid settings");
    let task = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    until(|| broker.stored().len() == 2).await;
    task.abort();
    let stats = relay.handle().stats();
    assert_eq!((stats.failed, stats.dead), (0, 0));
    let why = broker.events().into_iter().find_map(|e| match e {
        RelayEvent::Outage { error } => Some(error),
        _ => None,
    });
    assert_eq!(why, Some(Some("no answer".to_owned())), "an outage says why");
}
