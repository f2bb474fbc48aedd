//! Time limits, rates, and how many at once.

use std::sync::Arc;
use std::time::Duration;

use outbox_core::layer::{ConcurrencyLimitLayer, RateLimitLayer, TimeoutLayer, TransportExt};
use outbox_core::transport::Outcome;
use outbox_core::{KeyOrder, Outcomes, Transport};
use tokio::time::{Instant, advance, timeout};

use crate::broker::{Broker, Publish, batch, many};

const SECOND: Duration = Duration::from_secs(1);
const ORDERS: [KeyOrder; 2] = [KeyOrder::OneInFlight, KeyOrder::Gapless];

fn broker(order: KeyOrder) -> Broker {
    Broker::new(order, Duration::ZERO)
}

/// Seconds from `start` to the last publish that reached the broker.
fn last(broker: &Broker, start: Instant) -> f64 {
    broker.calls().last().map_or(0.0, |call| (call.at - start).as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn what_was_not_said_in_time_is_unknown_with_the_figure() {
    let transport = Broker::new(KeyOrder::OneInFlight, SECOND * 3).layer(TimeoutLayer::new(SECOND * 2));
    let (start, out) = (Instant::now(), Outcomes::new(2));
    transport.publish(many(2), &out).await;
    assert_eq!(start.elapsed().as_secs(), 2);
    let unknown = Outcome::Unknown(Some("no answer within 2s, the limit of the timeout layer".into()));
    assert_eq!([out.get(0), out.get(1)], [unknown.clone(), unknown]);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_in_time_stays() {
    let transport = Broker::new(KeyOrder::OneInFlight, SECOND).layer(TimeoutLayer::new(SECOND * 2));
    let out = Outcomes::new(2);
    transport.publish(batch(&[("a", "1"), ("b", "bad")]), &out).await;
    assert_eq!([out.get(0), out.get(1)], [Outcome::Delivered, Outcome::Rejected("not for this broker".into())]);
}

#[tokio::test(start_paused = true)]
async fn batches_go_at_the_rate_after_the_burst() {
    for order in ORDERS {
        let (broker, start) = (broker(order), Instant::now());
        let transport = broker.clone().layer(RateLimitLayer::new(100, SECOND).burst(50));
        for _ in 0..10 {
            transport.publish(many(50), &Outcomes::new(50)).await;
        }
        let took = last(&broker, start);
        assert!((4.5..4.52).contains(&took), "{order:?}: 500 messages at 100/s, 50 of them at once, took {took} s");
    }
}

/// A timer is late by up to a millisecond each time.
#[tokio::test(start_paused = true)]
async fn the_lateness_of_timers_does_not_add_up() {
    let (broker, start) = (broker(KeyOrder::OneInFlight), Instant::now());
    let transport = broker.clone().layer(RateLimitLayer::new(3_000, SECOND).burst(1));
    for _ in 0..3_001 {
        transport.publish(many(1), &Outcomes::new(1)).await;
    }
    let took = last(&broker, start);
    assert!((0.99..1.01).contains(&took), "3,000 intervals of 1/3,000 s took {took} s");
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_burst_goes_whole_and_is_paid_for_afterwards() {
    let (broker, start) = (broker(KeyOrder::Gapless), Instant::now());
    let transport = broker.clone().layer(RateLimitLayer::new(100, SECOND).burst(10));
    for size in [300, 1, 200, 1] {
        transport.publish(many(size), &Outcomes::new(size)).await;
    }
    let at: Vec<u128> = broker.calls().iter().map(|call| (call.at - start).as_millis()).collect();
    // A single one needs one of ten tokens, the large one all of them.
    for (at, due) in at.iter().zip([0, 2_910, 3_010, 4_920]) {
        assert!((due..due + 3).contains(at), "at {at} ms instead of {due}");
    }
    assert_eq!(broker.calls()[2].payloads.len(), 200, "the batch was split");
}

#[tokio::test(start_paused = true)]
async fn transports_of_one_layer_share_its_rate_first_come_first_served() {
    let limit = RateLimitLayer::new(10, SECOND).burst(1);
    let (broker, start) = (broker(KeyOrder::OneInFlight), Instant::now());
    let lanes = [Arc::new(broker.clone().layer(&limit)), Arc::new(broker.clone().layer(limit.clone()))];
    let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    // Two of the one, one of the other, and so on.
    let mut started: Vec<Publish> =
        names.iter().enumerate().map(|(n, name)| Publish::started(&lanes[n % 3 / 2], batch(&[(name, name)]))).collect();
    for round in 1..=20 {
        // Whoever is woken first.
        started.iter_mut().rev().for_each(|publish| _ = publish.poll());
        assert_eq!(broker.handed_over(), names[..round]);
        advance(Duration::from_millis(100)).await;
    }
    let took = last(&broker, start);
    assert!((1.9..1.91).contains(&took), "20 messages at 10/s took {took} s");
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_dropped_while_it_waits_has_taken_no_token() {
    let (broker, start) = (broker(KeyOrder::OneInFlight), Instant::now());
    let transport = Arc::new(broker.clone().layer(RateLimitLayer::new(1, SECOND).burst(1)));
    transport.publish(many(1), &Outcomes::new(1)).await;
    for _ in 0..50 {
        let dropped = Publish::started(&transport, many(1));
        advance(Duration::from_millis(1)).await;
        drop(dropped);
    }
    transport.publish(many(1), &Outcomes::new(1)).await;
    let took = last(&broker, start);
    assert!((1.0..1.01).contains(&took), "the second message went after {took} s");
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_nothing_does_not_hang() {
    let (broker, zero) = (broker(KeyOrder::OneInFlight), Duration::ZERO);
    let transport = broker.layer(RateLimitLayer::new(0, zero).burst(0)).layer(ConcurrencyLimitLayer::new(0));
    for batch in [many(0), many(3), many(1)] {
        let out = Outcomes::new(batch.len());
        timeout(SECOND, transport.publish(batch, &out)).await.expect("it ends");
        assert!(out.all_delivered());
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_are_under_way_than_the_limit_over_all_transports_that_share_it() {
    for order in ORDERS {
        let (broker, limit) = (Broker::new(order, SECOND), ConcurrencyLimitLayer::new(2));
        let lanes = [Arc::new(broker.clone().layer(&limit)), Arc::new(broker.clone().layer(limit))];
        let names: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        let start = Instant::now();
        let started: Vec<Publish> =
            names.iter().enumerate().map(|(n, name)| Publish::started(&lanes[n % 2], batch(&[(name, name)]))).collect();
        for publish in started.into_iter().rev().map(Publish::end).map(tokio::spawn).collect::<Vec<_>>() {
            publish.await.unwrap();
        }
        assert_eq!((broker.most(), start.elapsed().as_secs()), (2, 5), "{order:?}");
        let mut served = broker.handed_over();
        // Two are let in together, and either may be polled first.
        served.chunks_mut(2).for_each(<[String]>::sort);
        assert_eq!(served, names, "{order:?}");
    }
}
