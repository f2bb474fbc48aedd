//! A broker that is away, frozen, killed, or behind a way that breaks.

use std::cell::RefCell;

use outbox_core::Outcomes;
use testkit::{Proxy, eventually};
use tokio::time::Instant;

use super::*;

/// The numbers in the order of their first copies.
fn first_copies(texts: &[String]) -> Vec<i64> {
    let mut first = Vec::new();
    for n in texts.iter().map(|n| n.parse().expect("a number")) {
        if !first.contains(&n) {
            first.push(n);
        }
    }
    first
}

/// As the relay does: one in flight per key, again and again until it is delivered.
async fn insist(transport: &AmqpTransport, topic: &str, range: std::ops::Range<i64>) {
    for n in range {
        let one = batch(n, &[number(topic, "k", n)]);
        eventually("the message is delivered", SOON * 2, async || {
            publish(transport, &one, Duration::from_secs(10)).await == [Outcome::Delivered]
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_between_the_request_and_its_acknowledgement_loses_and_reorders_nothing() {
    let broker = RabbitMq::shared().await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", broker.port())).await.expect("a free port");
    let topic = broker.queue("cut", true).await;
    let transport = connect(&broker.url_by(proxy.addr().port()));
    insist(&transport, &topic, 0..1).await;
    for n in 1..11 {
        proxy.drop_replies();
        let one = batch(n, &[number(&topic, "k", n)]);
        let arrives = async {
            let seen = RefCell::new(Vec::new());
            eventually("the request arrives", SOON, async || {
                let more = texts(&broker, &topic).await;
                seen.borrow_mut().extend(more);
                seen.borrow().contains(&n.to_string())
            })
            .await;
            seen.into_inner()
        };
        // The relay's deadline comes first, or the cut does.
        let (outcomes, seen) = if n % 2 == 0 {
            let (outcomes, seen) = tokio::join!(publish(&transport, &one, Duration::from_millis(300)), arrives);
            proxy.heal();
            (outcomes, seen)
        } else {
            let healed = async {
                let seen = arrives.await;
                proxy.heal();
                seen
            };
            tokio::join!(publish(&transport, &one, SOON), healed)
        };
        assert_eq!(first_copies(&seen).last(), Some(&n));
        if n % 2 == 0 {
            assert!(all_unknown(&outcomes), "nothing was acknowledged: {outcomes:?}");
        }
        insist(&transport, &topic, n..n + 1).await;
    }
}

/// With the batch still on its way, and many of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_when_connections_are_cut_is_sent_again_at_once() {
    let broker = RabbitMq::shared().await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", broker.port())).await.expect("a free port");
    let topic = broker.queue("cuts", true).await;
    let transport = connect(&broker.url_by(proxy.addr().port()));
    assert!(all_delivered(&publish(&transport, &numbers(&topic, 0..1), SOON).await));
    for round in 1..6 {
        let sent = numbers(&topic, round * 2_000..(round + 1) * 2_000);
        let out = Outcomes::new(sent.len());
        let cut = async {
            for _ in 0..round * 40 {
                tokio::task::yield_now().await;
            }
            proxy.cut();
        };
        tokio::join!(transport.publish(sent, &out), cut);
        assert!(out.all_delivered(), "in round {round}");
    }
    let mut stored = first_copies(&texts(&broker, &topic).await);
    stored.sort_unstable();
    assert_eq!(stored, [0].into_iter().chain(2_000..12_000).collect::<Vec<_>>());
}

/// One broker for all that harms it: each takes seconds to start.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_freezes_or_dies_is_waited_for() {
    let broker = RabbitMq::own().await;
    let topic = broker.queue("own", true).await;
    let config = AmqpConfig::new(format!("{}?heartbeat=2&connection_timeout=1000", broker.url()));
    let transport = AmqpTransport::connect(config.deadline(Duration::from_secs(2))).expect("valid settings");
    insist(&transport, &topic, 0..5).await;

    // Frozen beyond every timeout: connections are accepted, and nothing answers.
    broker.pause().await;
    let start = Instant::now();
    for _ in 0..4 {
        let said = publish(&transport, &numbers(&topic, 5..6), Duration::from_secs(10)).await;
        assert!(matches!(&said[0], Outcome::Unknown(Some(why)) if !why.is_empty()), "{said:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(12), "each has its own deadline: {:?}", start.elapsed());
    broker.unpause().await;
    insist(&transport, &topic, 5..10).await;

    // Killed with batches under way, and started again.
    let many = numbers(&topic, 100..2_100);
    let (outcomes, ()) = tokio::join!(publish(&transport, &many, SOON), broker.kill());
    let start = Instant::now();
    let away = publish(&transport, &numbers(&topic, 10..11), SOON).await;
    assert!(all_unknown(&away) && start.elapsed() < Duration::from_secs(10), "{away:?}");
    broker.start().await;
    insist(&transport, &topic, 10..15).await;

    let stored = first_copies(&texts(&broker, &topic).await);
    let acknowledged = (100..).zip(&outcomes).filter(|(_, o)| **o == Outcome::Delivered).map(|(n, _)| n);
    for n in acknowledged {
        assert!(stored.contains(&n), "{n} was acknowledged, and is lost");
    }
    let of_key: Vec<i64> = stored.into_iter().filter(|n| *n < 100).collect();
    assert_eq!(of_key, (0..15).collect::<Vec<_>>());
    transport.close().await.expect("an orderly end");
}

/// The provider of cryptography is chosen without a default of the process.
#[tokio::test(flavor = "multi_thread")]
async fn tls_to_a_broker_without_it_is_an_error_and_no_panic() {
    let broker = RabbitMq::shared().await;
    let url = broker.url().replace("amqp://", "amqps://");
    let start = Instant::now();
    let said = publish(&connect(&url), &numbers("orders", 0..2), SOON).await;
    assert!(matches!(&said[0], Outcome::Unknown(Some(why)) if why.contains("no connection")), "{said:?}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}
