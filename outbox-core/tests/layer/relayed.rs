//! The relay as shipped, layers, and a broker that fails now and then: each key's order holds, and nothing is given up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::layer::{CatchUpLayer, ConcurrencyLimitLayer, RateLimitLayer, TimeoutLayer, TraceLayer, TransportExt};
use outbox_core::memory::MemoryStore;
use outbox_core::{
    Batch, KeyOrder, Message, Outcomes, Relay, StoreRelay, Transport, TransportCapabilities, async_trait,
};
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::broker::Broker;

const SECOND: Duration = Duration::from_secs(1);

/// Stores one message after the other. Where it is gapless it stores nothing more after a failure, until all publishes
/// that were under way have ended.
#[derive(Debug, Clone)]
struct Flaky {
    order: KeyOrder,
    state: Arc<Mutex<State>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct State {
    random: u64,
    under_way: usize,
    broken: bool,
    stored: Vec<(String, u64)>,
    failures: usize,
}

enum Fate {
    Stored,
    Lost,
    StoredAndLost,
    Nowhere,
    Hangs,
}

impl State {
    /// Of a thousand messages some ten fail.
    fn fate(&mut self) -> Fate {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fate = match (self.random >> 33) % 1_000 {
            0..5 => Fate::Lost,
            5..8 => Fate::StoredAndLost,
            8..11 => Fate::Nowhere,
            11 => Fate::Hangs,
            _ => return Fate::Stored,
        };
        self.failures += 1;
        fate
    }
}

struct UnderWay<'a>(&'a Flaky, bool);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.under_way -= 1;
        state.broken = (state.broken || !self.1) && state.under_way > 0;
    }
}

#[async_trait]
impl Transport for Flaky {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(self.order)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let gapless = self.order == KeyOrder::Gapless;
        self.state.lock().unwrap().under_way += 1;
        let mut under_way = UnderWay(self, false);
        let turn = unconstrained(self.turn.lock()).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        for m in batch.iter() {
            let fate = {
                let mut state = self.state.lock().unwrap();
                if state.broken && gapless {
                    return;
                }
                let fate = state.fate();
                if matches!(fate, Fate::Stored | Fate::StoredAndLost) {
                    let number = String::from_utf8_lossy(m.payload()).parse().expect("a number");
                    state.stored.push((m.key().unwrap_or_default().to_owned(), number));
                }
                state.broken |= gapless && !matches!(fate, Fate::Stored);
                fate
            };
            match fate {
                Fate::Stored => out.delivered(m),
                Fate::Lost | Fate::StoredAndLost => out.unknown(m, "cut"),
                Fate::Nowhere => out.destination(m, "no such topic, for now"),
                Fate::Hangs => std::future::pending().await,
            }
        }
        drop(turn);
        under_way.1 = true;
    }
}

/// How many failures there were.
async fn holds(order: KeyOrder, seed: u64, layered: impl FnOnce(Flaky) -> Box<dyn Transport>) -> usize {
    let (messages, keys) = (1_500, 20);
    let store = MemoryStore::new();
    let mut tx = store.begin();
    for n in 0..messages {
        tx.enqueue(Message::new("orders", "order.created").key(n % keys).text(n.to_string())).expect("valid");
    }
    tx.commit();
    let state = State { random: seed, under_way: 0, broken: false, stored: Vec::new(), failures: 0 };
    let broker = Flaky { order, state: Arc::new(Mutex::new(state)), turn: Arc::default() };
    let relay = StoreRelay::builder("test", store, layered(broker.clone()))
        .batch(50)
        .retry(SECOND / 100, SECOND / 10)
        .outage(SECOND / 100, SECOND / 10)
        .publish_deadline(SECOND * 2)
        .owner(u128::from(seed))
        .build()
        .expect("valid");
    assert_eq!(relay.until_drained(SECOND * 3_600).await.expect("drained"), messages);
    assert_eq!(relay.handle().stats().dead, 0);
    let state = broker.state.lock().unwrap();
    let mut next: HashMap<&str, u64> = HashMap::new();
    for (key, n) in &state.stored {
        let next = next.entry(key).or_insert_with(|| key.parse().expect("a number"));
        assert!(n <= next, "{order:?}, seed {seed}: key {key}: {n} where {next} was due");
        *next = (*next).max(n + keys);
    }
    assert!(next.values().all(|next| *next >= messages), "{order:?}, seed {seed}: something is not stored");
    state.failures
}

#[tokio::test(start_paused = true)]
async fn the_order_of_each_key_holds_through_failures_with_every_layer() {
    let mut failures = 0;
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        for seed in 0..4 {
            failures += holds(order, seed, |net| Box::new(net.layer(ConcurrencyLimitLayer::new(1)))).await;
            failures += holds(order, seed, |net| Box::new(net.layer(ConcurrencyLimitLayer::new(3)))).await;
            let rate = RateLimitLayer::new(2_000, SECOND).burst(10);
            failures += holds(order, seed, |net| Box::new(net.layer(rate))).await;
            failures += holds(order, seed, |net| Box::new(net.layer(TimeoutLayer::new(SECOND / 3)))).await;
            let all = |net: Flaky| -> Box<dyn Transport> {
                let net = net.layer(TimeoutLayer::new(SECOND)).layer(ConcurrencyLimitLayer::new(2));
                let old = CatchUpLayer::new(1_500).deadline(SECOND * 2).fresh(Duration::ZERO);
                Box::new(net.layer(RateLimitLayer::new(3_000, SECOND)).layer(old).layer(TraceLayer::new()))
            };
            failures += holds(order, seed, all).await;
        }
    }
    assert!(failures > 200, "only {failures} failures");
}

/// What the documentation of the layers says of too slow a rate: an alarm, and no harm.
#[tokio::test(start_paused = true)]
async fn a_rate_too_slow_for_the_deadline_looks_like_an_outage_and_costs_no_attempt() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let (store, broker) = (MemoryStore::new(), Broker::new(order, SECOND / 1_000));
        let mut tx = store.begin();
        for n in 0..6_000 {
            tx.enqueue(Message::new("orders", "order.created").key(n).text(n.to_string())).expect("valid");
        }
        tx.commit();
        let limited = broker.clone().layer(RateLimitLayer::new(100, SECOND));
        let relay = StoreRelay::builder("test", store, limited).build().expect("valid");
        let start = Instant::now();
        assert_eq!(relay.until_drained(SECOND * 3_600).await.expect("drained"), 6_000);
        let (seconds, stats) = (start.elapsed().as_secs_f64(), relay.handle().stats());
        println!("{order:?}: {seconds:.1} s, {} outages", stats.outages);
        assert_eq!((stats.failed, stats.dead), (0, 0), "{order:?}");
        assert!(stats.outages > 0, "{order:?}");
        assert!((55.0..90.0).contains(&seconds), "{order:?}: 6,000 messages at 100/s took {seconds:.0} s");
        // One that is let through just before it is dropped comes again.
        let handed_over = broker.calls().iter().map(|call| call.payloads.len()).sum::<usize>();
        assert!((6_000..8_000).contains(&handed_over), "{order:?}: {handed_over} were handed over");
    }
}
