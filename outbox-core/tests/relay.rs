//! The relay over the memory store: what it promises, seen from outside.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use outbox_core::memory::{MemoryStore, MemoryTransport};
use outbox_core::{
    Batch, KeyOrder, Message, Outcomes, Relay, RelayBuilder, StoreRelay, Transport, TransportCapabilities, async_trait,
};

fn enqueue(store: &MemoryStore, keys: usize, messages: usize) {
    let mut tx = store.begin();
    for i in 0..messages {
        tx.enqueue(Message::new("orders", "order.created").key(i % keys).text(i.to_string())).expect("valid");
    }
    tx.commit();
}

fn quick(store: &MemoryStore, transport: impl Transport) -> RelayBuilder {
    let (first, max) = (Duration::from_millis(1), Duration::from_millis(4));
    StoreRelay::builder("test", store.clone(), transport).retry(first, max).outage(first, max)
}

/// Says of each attempt what a script says: `(payload, attempt, attempts of all) -> outcome`.
#[derive(Debug)]
struct Scripted {
    order: KeyOrder,
    script: fn(&str, u32, usize) -> Said,
    /// Answers come after a while, and not in order.
    slow: bool,
    /// Publishes under way, and whether something was not stored: as gapless transports do, nothing more is then until
    /// all of them have ended.
    under_way: Mutex<(usize, bool)>,
    attempts: Mutex<HashMap<String, u32>>,
    stored: Mutex<Vec<(String, u64)>>,
}

/// Ends a publish, however it ends.
struct UnderWay<'a>(&'a Mutex<(usize, bool)>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

enum Said {
    Yes,
    Unknown,
    Reject,
    Panic,
}

impl Scripted {
    fn new(order: KeyOrder, script: fn(&str, u32, usize) -> Said) -> Self {
        Self {
            order,
            script,
            slow: false,
            under_way: Mutex::default(),
            attempts: Mutex::default(),
            stored: Mutex::default(),
        }
    }

    fn slow(self) -> Self {
        Self { slow: true, ..self }
    }

    /// First occurrences per key rise; returns how many distinct messages were stored.
    fn in_order(&self) -> usize {
        let mut seen = HashMap::new();
        let mut last: HashMap<String, u64> = HashMap::new();
        for (key, n) in self.stored.lock().unwrap().iter() {
            if seen.insert(*n, ()).is_none() {
                let before = last.insert(key.clone(), *n);
                assert!(before.is_none_or(|b| b < *n), "key {key}: {n} came after {before:?}");
            }
        }
        seen.len()
    }
}

#[async_trait]
impl Transport for Scripted {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(self.order)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let _under_way = {
            let mut under_way = self.under_way.lock().unwrap();
            if under_way.1 && under_way.0 > 0 && self.order == KeyOrder::Gapless {
                return;
            }
            *under_way = (under_way.0 + 1, false);
            UnderWay(&self.under_way)
        };
        let mut broken = Vec::new();
        for m in batch.iter() {
            let (text, key) = (String::from_utf8_lossy(m.payload()).into_owned(), m.key().unwrap_or("").to_owned());
            if self.order == KeyOrder::Gapless && broken.contains(&key) {
                continue;
            }
            let mut attempts = self.attempts.lock().unwrap();
            let attempt = attempts.entry(text.clone()).and_modify(|n| *n += 1).or_insert(1);
            let attempt = *attempt;
            let total = attempts.values().map(|n| *n as usize).sum();
            drop(attempts);
            match (self.script)(&text, attempt, total) {
                Said::Yes => {
                    self.stored.lock().unwrap().push((key, text.parse().expect("a number")));
                    out.delivered(m);
                }
                Said::Unknown => {
                    out.unknown(m, "no answer");
                    broken.push(key);
                    self.under_way.lock().unwrap().1 = true;
                }
                Said::Reject => out.reject(m, "never"),
                Said::Panic => panic!("no transport should"),
            }
        }
        if self.slow {
            let first = batch.get(0).seq().unsigned_abs();
            tokio::time::sleep(Duration::from_millis(first * 7_919 % 97)).await;
        }
    }
}

#[tokio::test]
async fn delivers_everything_once_and_in_order_without_faults() {
    let (store, sent) = (MemoryStore::new(), MemoryTransport::new());
    enqueue(&store, 7, 5_000);
    let relay = quick(&store, sent.clone()).build().expect("valid settings");
    assert_eq!(relay.until_drained(Duration::from_secs(20)).await.expect("drained"), 5_000);
    let sent = sent.take();
    assert_eq!(sent.len(), 5_000);
    for key in 0..7 {
        let of_key: Vec<u64> = sent
            .iter()
            .filter(|m| m.key() == Some(&key.to_string()))
            .map(|m| String::from_utf8_lossy(m.payload()).parse().unwrap())
            .collect();
        assert!(of_key.is_sorted(), "key {key}");
    }
    assert_eq!(relay.until_drained(Duration::from_secs(5)).await.expect("drained"), 0, "nothing comes twice");
}

#[tokio::test]
async fn a_failing_message_holds_back_its_own_key_and_keeps_its_order() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let store = MemoryStore::new();
        enqueue(&store, 5, 1_000);
        let script =
            |text: &str, attempt, _| if text.ends_with('3') && attempt < 3 { Said::Unknown } else { Said::Yes };
        let transport = std::sync::Arc::new(Scripted::new(order, script));
        let relay = quick(&store, transport.clone()).batch(50).build().expect("valid settings");
        relay.until_drained(Duration::from_secs(20)).await.expect("drained");
        assert_eq!(transport.in_order(), 1_000);
        assert!(relay.handle().stats().failed > 0);
        assert_eq!(relay.handle().stats().dead, 0);
    }
}

#[tokio::test]
async fn an_outage_costs_no_attempt() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let store = MemoryStore::new();
        enqueue(&store, 5, 300);
        let script = |_: &str, _, total| if total < 40 { Said::Unknown } else { Said::Yes };
        let transport = std::sync::Arc::new(Scripted::new(order, script));
        let relay = quick(&store, transport.clone()).batch(20).max_attempts(1).build().expect("valid settings");
        relay.until_drained(Duration::from_secs(20)).await.expect("drained");
        assert!(relay.handle().stats().outages > 0);
        assert_eq!((transport.in_order(), relay.handle().stats().failed), (300, 0));
    }
}

#[tokio::test]
async fn a_rejected_message_becomes_a_dead_letter_alone() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let store = MemoryStore::new();
        enqueue(&store, 3, 200);
        let script = |text: &str, _, _| if text == "100" { Said::Reject } else { Said::Yes };
        let transport = std::sync::Arc::new(Scripted::new(order, script));
        let relay = quick(&store, transport.clone()).build().expect("valid settings");
        relay.until_drained(Duration::from_secs(20)).await.expect("drained");
        assert_eq!(transport.in_order(), 199);
        let dead = store.dead_letters("test");
        assert_eq!(dead.len(), 1);
        assert_eq!((dead[0].0.payload.as_ref(), dead[0].1.as_str()), (b"100".as_slice(), "never"));
    }
}

#[tokio::test]
async fn a_message_that_makes_the_transport_panic_becomes_a_dead_letter_alone() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let store = MemoryStore::new();
        enqueue(&store, 3, 200);
        let script = |text: &str, _, _| if text == "100" { Said::Panic } else { Said::Yes };
        let transport = std::sync::Arc::new(Scripted::new(order, script));
        let relay = quick(&store, transport.clone()).publish_deadline(Duration::from_millis(50));
        let relay = relay.lease(Duration::from_secs(5)).max_attempts(3).build().expect("valid settings");
        relay.until_drained(Duration::from_secs(20)).await.expect("drained");
        assert_eq!(transport.in_order(), 199);
        let dead = store.dead_letters("test");
        assert_eq!(dead.len(), 1);
        assert_eq!((dead[0].0.payload.as_ref(), dead[0].1.as_str()), (b"100".as_slice(), "the transport panicked"));
        let stats = relay.handle().stats();
        // Its own attempts; where many of a key are in flight, also one of each key beside it.
        assert!((3..=if order == KeyOrder::Gapless { 5 } else { 3 }).contains(&stats.failed), "{stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waited_behind_a_dead_letter_keeps_its_place() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let store = MemoryStore::new();
        enqueue(&store, 7, 1_000);
        let script = |text: &str, _, _| if text.ends_with("20") { Said::Reject } else { Said::Yes };
        let transport = std::sync::Arc::new(Scripted::new(order, script).slow());
        let relay = quick(&store, transport.clone()).batch(5).build().expect("valid settings");
        relay.until_drained(Duration::from_secs(60)).await.expect("drained");
        assert_eq!(transport.in_order(), 990);
        assert_eq!(store.dead_letters("test").len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn parked_messages_wait_for_the_dead_letter_before_them() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let store = MemoryStore::new();
        enqueue(&store, 3, 300);
        let script = |text: &str, attempt, _| match (text, attempt) {
            ("30", 1) => Said::Unknown,
            ("30", _) => Said::Reject,
            _ => Said::Yes,
        };
        let transport = std::sync::Arc::new(Scripted::new(order, script).slow());
        let relay = quick(&store, transport.clone()).batch(5).build().expect("valid settings");
        relay.until_drained(Duration::from_secs(60)).await.expect("drained");
        let dead = store.dead_letters("test");
        assert_eq!(transport.in_order(), 299);
        assert_eq!((dead.len(), dead[0].1.as_str()), (1, "never"));
        let again = quick(&store, transport).build().expect("valid settings");
        assert_eq!(
            again.until_drained(Duration::from_secs(60)).await.expect("drained"),
            0,
            "nothing is left unsettled"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_fails_alone_counts_where_the_next_key_goes_through() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let store = MemoryStore::new();
        enqueue(&store, 3, 30);
        let script = |text: &str, _, _| if text == "3" { Said::Unknown } else { Said::Yes };
        let transport = std::sync::Arc::new(Scripted::new(order, script));
        let relay = quick(&store, transport.clone()).batch(5).max_attempts(4).build().expect("valid settings");
        let drained = relay.until_drained(Duration::from_secs(5)).await;
        assert!(
            matches!(drained, Err(outbox_core::RelayError::TimedOut { .. })),
            "alone it may be an outage: {drained:?}"
        );
        let running = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        // Traffic of other keys tells that the transport is there.
        while relay.handle().stats().dead == 0 {
            let mut tx = store.begin();
            tx.enqueue(Message::new("orders", "order.created").key("other").text("1000000")).expect("valid");
            tx.commit();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        running.abort();
        assert_eq!(store.dead_letters("test")[0].1, "no answer");
        // A last attempt may have been under way.
        assert!((4..=5).contains(&relay.handle().stats().failed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_alone_keeps_no_other_key_waiting() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let store = MemoryStore::new();
        enqueue(&store, 3, 30);
        let script = |text: &str, _, _| if text == "3" { Said::Unknown } else { Said::Yes };
        let transport = std::sync::Arc::new(Scripted::new(order, script));
        let long = Duration::from_secs(5);
        let relay = quick(&store, transport).outage(long, long).max_attempts(100).build().expect("valid settings");
        let running = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        let stats = || relay.handle().stats();
        for round in 0..10 {
            // In between its retries have failed, and nothing else was tried.
            tokio::time::sleep(Duration::from_millis(3_300)).await;
            let before = stats();
            let mut tx = store.begin();
            tx.enqueue(Message::new("orders", "order.created").key("other").text("1000000")).expect("valid");
            tx.commit();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(stats().delivered, before.delivered + 1, "{order:?}, round {round}: {:?}", stats());
        }
        assert!(stats().failed >= 10 && stats().dead == 0, "{:?}", stats());
        running.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_many_probes_costs_a_parked_message_nothing() {
    let store = MemoryStore::new();
    enqueue(&store, 3, 30);
    // The first message fails beside others that are delivered; then the broker goes away for 100 attempts.
    let script = |text: &str, attempt, total| match (text, attempt) {
        ("0", 1) => Said::Unknown,
        _ if (30..130).contains(&total) => Said::Unknown,
        _ => Said::Yes,
    };
    let transport = std::sync::Arc::new(Scripted::new(KeyOrder::OneInFlight, script));
    let relay = quick(&store, transport.clone()).build().expect("valid settings");
    relay.until_drained(Duration::from_secs(60)).await.expect("drained");
    assert_eq!((transport.in_order(), relay.handle().stats().failed), (30, 1));
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_begins_in_the_midst_of_a_publish_costs_no_attempt() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let store = MemoryStore::new();
        enqueue(&store, 30, 90);
        let script = |_: &str, _, total| if (10..150).contains(&total) { Said::Unknown } else { Said::Yes };
        let transport = std::sync::Arc::new(Scripted::new(order, script));
        let relay = quick(&store, transport.clone()).build().expect("valid settings");
        relay.until_drained(Duration::from_secs(60)).await.expect("drained");
        let stats = relay.handle().stats();
        assert_eq!((transport.in_order(), stats.failed), (90, 0), "{order:?}: {stats:?}");
    }
}
