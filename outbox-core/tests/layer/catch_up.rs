//! Catching up at a set pace, with the relay as shipped over the memory store.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outbox_core::KeyOrder::{Gapless, OneInFlight};
use outbox_core::layer::{CatchUpLayer, TransportExt};
use outbox_core::memory::MemoryStore;
use outbox_core::transport::Outcome;
use outbox_core::{BatchBuilder, KeyOrder, Message, Relay, RelayStats, StoreRelay};
use tokio::time::{Instant, advance};

use crate::broker::{Broker, Publish, batch_of, push};

const HOUR: Duration = Duration::from_secs(3_600);
const ANSWER: Duration = Duration::from_millis(3);

fn filled(messages: usize) -> MemoryStore {
    let store = MemoryStore::new();
    let mut tx = store.begin();
    for n in 0..messages {
        tx.enqueue(Message::new("orders", "order.created").key(n % 5_000).text(n.to_string())).expect("valid");
    }
    tx.commit();
    store
}

/// To this layer everything is an hour old.
fn all_old(messages_per_second: u64) -> CatchUpLayer {
    CatchUpLayer::new(messages_per_second).clock(|| SystemTime::now() + HOUR)
}

/// Relays a backlog, and gives how many seconds that took.
async fn relayed(order: KeyOrder, layer: CatchUpLayer, messages: usize, batch: usize) -> (f64, RelayStats, Broker) {
    let (store, broker) = (filled(messages), Broker::new(order, ANSWER));
    let relay = StoreRelay::builder("test", store, broker.clone().layer(layer)).batch(batch).build().expect("valid");
    let start = Instant::now();
    let delivered = relay.until_drained(HOUR).await.expect("drained");
    assert_eq!(delivered, messages as u64);
    (start.elapsed().as_secs_f64(), relay.handle().stats(), broker)
}

fn cost_nothing(stats: RelayStats) {
    assert_eq!((stats.outages, stats.failed, stats.dead, stats.parked), (0, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_backlog_goes_at_the_pace_and_costs_no_outage_and_no_attempt() {
    for order in [OneInFlight, Gapless] {
        for (pace, messages, batch) in [(1_000, 20_000, 500), (20_000, 100_000, 500), (100, 2_000, 50)] {
            let (seconds, stats, broker) = relayed(order, all_old(pace), messages, batch).await;
            cost_nothing(stats);
            let seen = messages as f64 / seconds;
            println!("{order:?}: pace {pace}/s, seen {seen:.0}/s");
            let kept = (0.9..1.1).contains(&(seen / pace as f64));
            assert!(kept, "{order:?}: {messages} messages at {pace}/s took {seconds:.1} s: {seen:.0}/s");
            assert_eq!(broker.calls().iter().map(|call| call.payloads.len()).sum::<usize>(), messages);
        }
    }
}

/// The documented bound: then the pace gives way, not the messages.
#[tokio::test(start_paused = true)]
async fn a_pace_too_slow_for_the_deadline_is_exceeded_and_costs_nothing_either() {
    for order in [OneInFlight, Gapless] {
        let (seconds, stats, _) = relayed(order, all_old(10), 20_000, 500).await;
        cost_nothing(stats);
        assert!(seconds < 30.0, "{order:?}: at some 800/s these are 25 s, and it took {seconds:.0} s");
    }
}

/// Its own messages are paid for by those behind it; what could not be waited for is forgotten.
#[tokio::test(start_paused = true)]
async fn no_publish_waits_longer_than_half_the_deadline() {
    for order in [OneInFlight, Gapless] {
        let (broker, start) = (Broker::new(order, Duration::ZERO), Instant::now());
        let layer = at_three(1).deadline(Duration::from_secs(6));
        let transport = Arc::new(broker.clone().layer(layer));
        let old = |m: &[(&str, &str)]| Publish::started(&transport, batch_of(at(0), m));
        let together = [old(&[("a", "1"); 100]), old(&[("a", "2"), ("b", "2")])];
        for publish in together {
            publish.end().await;
        }
        old(&[("a", "3")]).end().await;
        old(&[("a", "4"); 9]).end().await;
        old(&[("a", "5")]).end().await;
        let at: Vec<u64> = broker.calls().iter().map(|call| (call.at - start).as_secs()).collect();
        assert_eq!(at, [0, 3, 5, 6, 9], "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fresh_messages_take_no_tokens() {
    for order in [OneInFlight, Gapless] {
        let (seconds, stats, _) = relayed(order, CatchUpLayer::new(1), 20_000, 500).await;
        cost_nothing(stats);
        assert!(seconds < 2.0, "{order:?}: 20,000 fresh messages took {seconds:.1} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_catches_up_leaves_the_broker_to_the_fresh_messages_of_another() {
    let (broker, old) = (Broker::new(Gapless, ANSWER), all_old(1_000));
    let fresh = old.clone().clock(SystemTime::now);
    let behind = StoreRelay::builder("behind", filled(10_000), broker.clone().layer(old)).build().expect("valid");
    let backlog = tokio::spawn(async move { behind.until_drained(HOUR).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ahead = StoreRelay::builder("ahead", filled(1_000), broker.layer(fresh)).build().expect("valid");
    let start = Instant::now();
    assert_eq!(ahead.until_drained(HOUR).await.expect("drained"), 1_000);
    assert!(start.elapsed() < Duration::from_millis(500), "the fresh lane waited {:?}", start.elapsed());
    assert!(!backlog.is_finished());
    assert_eq!(backlog.await.unwrap().expect("drained"), 10_000);
}

/// 0 is old, 3 is fresh.
fn at(hour: i64) -> i64 {
    hour * 3_600_000_000
}

fn at_three(messages_per_second: u64) -> CatchUpLayer {
    CatchUpLayer::new(messages_per_second).clock(|| UNIX_EPOCH + HOUR * 3)
}

#[tokio::test(start_paused = true)]
async fn one_in_flight_the_fresh_messages_of_a_batch_go_first() {
    let broker = Broker::new(OneInFlight, ANSWER);
    let transport = Arc::new(broker.clone().layer(at_three(1)));
    assert!(Publish::new(&transport, batch_of(at(0), &[("k", "old")])).end().await.all_delivered());
    let mut mixed = BatchBuilder::new();
    push(&mut mixed, at(0), &("a", "1"));
    push(&mut mixed, at(3), &("b", "bad/2"));
    push(&mut mixed, at(0), &("c", "lost/3"));
    push(&mut mixed, at(3), &("d", "4"));
    let out = Publish::new(&transport, mixed.finish()).end().await;
    assert_eq!(broker.handed_over(), ["old", "bad/2 4", "1 lost/3"]);
    let calls = broker.calls();
    assert!(calls[1].at - calls[0].at < Duration::from_millis(10), "the fresh ones waited");
    assert!(calls[2].at - calls[0].at >= Duration::from_secs(1), "the old ones did not wait");
    let said: Vec<Outcome> = (0..4).map(|i| out.get(i)).collect();
    let rejected = Outcome::Rejected("not for this broker".into());
    assert_eq!(said, [Outcome::Delivered, rejected, Outcome::Unknown(Some("cut".into())), Outcome::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_of_fresh_messages_stays_when_the_publish_is_dropped() {
    let transport = Arc::new(Broker::new(OneInFlight, ANSWER).layer(at_three(1)));
    assert!(Publish::new(&transport, batch_of(at(0), &[("k", "old")])).end().await.all_delivered());
    let mut mixed = BatchBuilder::new();
    push(&mut mixed, at(0), &("a", "1"));
    push(&mut mixed, at(3), &("b", "2"));
    let mut publish = Publish::started(&transport, mixed.finish());
    advance(ANSWER * 2).await;
    assert!(!publish.poll());
    let out = publish.out.clone();
    drop(publish);
    assert_eq!([out.get(0), out.get(1)], [Outcome::Unknown(None), Outcome::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn gapless_a_batch_stays_whole_and_in_its_place() {
    let broker = Broker::new(Gapless, ANSWER);
    let transport = Arc::new(broker.clone().layer(at_three(1)));
    assert!(Publish::new(&transport, batch_of(at(0), &[("k", "old")])).end().await.all_delivered());
    let mut mixed = BatchBuilder::new();
    push(&mut mixed, at(3), &("a", "1"));
    push(&mut mixed, at(0), &("a", "2"));
    let mixed = Publish::started(&transport, mixed.finish());
    let fresh = Publish::started(&transport, batch_of(at(3), &[("a", "3")]));
    let (fresh, mixed) = tokio::join!(fresh.end(), mixed.end());
    assert!(mixed.all_delivered() && fresh.all_delivered());
    assert_eq!(broker.handed_over(), ["old", "1 2", "3"]);
    let calls = broker.calls();
    assert!(calls[1].at - calls[0].at >= Duration::from_millis(990), "its old message did not wait");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_older_than_the_bound_is_fresh() {
    let layer = at_three(1).fresh(Duration::from_secs(60));
    let broker = Broker::new(OneInFlight, Duration::ZERO);
    let transport = Arc::new(broker.clone().layer(layer));
    let start = Instant::now();
    for created_at in [at(3) - 60_000_000; 3] {
        Publish::new(&transport, batch_of(created_at, &[("k", "fresh")])).end().await;
    }
    assert_eq!(start.elapsed().as_secs(), 0);
    for created_at in [at(3) - 60_000_001; 3] {
        Publish::new(&transport, batch_of(created_at, &[("k", "old")])).end().await;
    }
    assert_eq!(start.elapsed().as_secs(), 2);
    let most = Duration::from_millis(2_010);
    assert!(start.elapsed() < most, "{:?}", start.elapsed());
}
