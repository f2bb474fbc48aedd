//! What goes wrong costs no message and no order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use outbox_core::Batch;
use outbox_core::transport::Outcome;
use outbox_nats::{NatsConfig, NatsTransport};
use testkit::{Proxy, Sample, batch, eventually, numbers, publish};

use crate::rig::{Record, Rig, SOON, relayed};

fn atomic() -> Config {
    Config { allow_atomic_publish: true, ..Config::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_waited_for_while_another_one_goes_on() {
    for atomic in [false, true] {
        let full =
            Config { max_messages: 5, discard: DiscardPolicy::New, allow_atomic_publish: atomic, ..Config::default() };
        let (rig, healthy) = (Rig::shared(full.clone()).await, Rig::shared(self::atomic()).await);
        let topic = rig.topic("full");
        let mut relayed = relayed(rig.config().atomic_batches(atomic));
        let fill = numbers(&rig.topic("other"), 0..5);
        // One after the other: with the key in common they may not be under way together.
        for n in 0..fill.len() {
            let one = Batch::from_slots(vec![fill.slot(n)]);
            assert_eq!(publish(&rig.transport(), &one, SOON).await, [Outcome::Delivered]);
        }
        // By turns, so that one publish has messages of both.
        for _ in 0..5 {
            relayed.commit_keys("full", &topic, 4, 0);
            relayed.commit_keys("healthy", &healthy.topic("x"), 4, 0);
        }
        relayed.topics_held(1).await;
        let stats = relayed.stats();
        assert_eq!((stats.failed, stats.dead, stats.outages), (0, 0, 0), "{stats:?}");
        assert!(stats.connected, "{stats:?}");
        rig.jetstream.get_stream(&rig.name).await.expect("the stream").purge().await.expect("empty");
        rig.jetstream.update_stream(rig.named(Config { max_messages: 100_000, ..full })).await.expect("more room");
        relayed.delivered().await;
        relayed.assert_nothing_was_given_up(0);
        Rig::end_of(&[&rig, &healthy], relayed).await;
    }
}

/// As the relay sees it: a refusal that concerns one stream, beside what the other one has stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_a_matter_of_its_destination() {
    let full = Config { max_messages: 1, discard: DiscardPolicy::New, ..self::atomic() };
    let (rig, healthy) = (Rig::shared(full).await, Rig::shared(self::atomic()).await);
    let (full, other) = (rig.topic("full"), healthy.topic("x"));
    assert_eq!(publish(&rig.transport(), &numbers(&full, 0..1), SOON).await, [Outcome::Delivered]);
    let sample =
        |n: i64| Sample::new(if n % 2 == 0 { &full } else { &other }).key(if n < 5 { "a" } else { "b" }).text(n);
    let mixed = batch(1, &(0..10).map(sample).collect::<Vec<_>>());
    for atomic in [false, true] {
        let transport = NatsTransport::connect(rig.config().atomic_batches(atomic)).expect("valid settings");
        for (n, outcome) in publish(&transport, &mixed, SOON).await.iter().enumerate() {
            match outcome {
                Outcome::Destination(why) => assert!(n % 2 == 0 && why.contains("maximum messages"), "{n}: {why}"),
                outcome => assert!(n % 2 == 1 && *outcome == Outcome::Delivered, "{n}: {outcome:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_freezes_longer_than_every_timeout_is_waited_for() {
    let rig = Rig::own(Config::default()).await;
    let topic = rig.topic("frozen");
    let mut relayed = relayed(rig.config());
    relayed.commit(&topic, 20, 0);
    relayed.delivered().await;
    rig.nats.pause().await;
    relayed.commit(&topic, 20, 0);
    relayed.noticed().await;
    relayed.assert_nothing_was_given_up(0);
    rig.nats.unpause().await;
    relayed.delivered().await;
    relayed.assert_nothing_was_given_up(0);
    rig.end(relayed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_mid_run_loses_nothing() {
    kill(Config::default(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_mid_batch_loses_nothing() {
    kill(atomic(), true).await;
}

async fn kill(config: Config, atomic: bool) {
    let rig = Rig::own(config).await;
    let topic = rig.topic("killed");
    let mut relayed = relayed(rig.config().atomic_batches(atomic));
    for _ in 0..3 {
        relayed.commit(&topic, 300, 0);
        relayed.further_delivered(200).await;
        rig.nats.restart().await;
    }
    relayed.delivered().await;
    relayed.assert_nothing_was_given_up(60);
    rig.end(relayed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_while_a_relay_works_cost_nothing() {
    for atomic in [false, true] {
        let rig = Rig::own(self::atomic()).await;
        let proxy = Proxy::start(format!("127.0.0.1:{}", rig.nats.port())).await.expect("a free port");
        let config = NatsConfig::new(rig.nats.url_by(proxy.addr().port()));
        let config = config.ack_timeout(Duration::from_secs(1)).atomic_batches(atomic);
        let topic = rig.topic("cut");
        let mut relayed = relayed(config);
        for _ in 0..5 {
            relayed.commit(&topic, 100, 0);
            relayed.further_delivered(100).await;
            proxy.cut();
        }
        relayed.delivered().await;
        relayed.assert_nothing_was_given_up(100);
        rig.end(relayed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_acknowledgement_is_unknown_and_the_second_copy_is_dropped() {
    let rig = Rig::own(Config::default()).await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", rig.nats.port())).await.expect("a free port");
    let by_proxy = NatsConfig::new(rig.nats.url_by(proxy.addr().port()));
    let transport = NatsTransport::connect(by_proxy.ack_timeout(Duration::from_secs(2))).expect("valid settings");
    let topic = rig.topic("lost");
    assert_eq!(publish(&transport, &numbers(&topic, 0..1), SOON).await, [Outcome::Delivered]);
    proxy.drop_replies();
    let outcomes = publish(&transport, &numbers(&topic, 1..2), SOON).await;
    assert!(matches!(&outcomes[0], Outcome::Unknown(Some(why)) if why.contains("not answered")), "{outcomes:?}");
    proxy.heal();
    // By another client: the first one has nothing left to say.
    assert_eq!(publish(&transport, &numbers(&topic, 1..2), SOON).await, [Outcome::Delivered]);
    assert_eq!(publish(&transport, &numbers(&topic, 2..3), SOON).await, [Outcome::Delivered]);
    let texts: Vec<String> = rig.stored().await.iter().map(Record::text).collect();
    assert_eq!(texts, ["0", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_still_holds_when_it_is_given_up_is_never_sent() {
    let rig = Rig::own(Config::default()).await;
    let topic = rig.topic("held");
    let transport = NatsTransport::connect(rig.config().ack_timeout(Duration::from_secs(2))).expect("valid settings");
    assert_eq!(publish(&transport, &numbers(&topic, 0..1), SOON).await, [Outcome::Delivered]);
    // More than the system takes on its way to a server that does not read.
    let sample = |n: i64| {
        let mut payload = n.to_string().into_bytes();
        payload.resize(50_000, b' ');
        Sample::new(&topic).payload(payload)
    };
    let held = batch(1, &(1..2_000).map(sample).collect::<Vec<_>>());
    rig.nats.pause().await;
    let outcomes = publish(&transport, &held, SOON).await;
    assert!(outcomes.iter().all(|o| matches!(o, Outcome::Unknown(Some(_)))), "{:?}", outcomes[0]);
    rig.nats.unpause().await;
    // What was on its way arrives.
    let seen = Mutex::new((0, 0));
    eventually("nothing more arrives", SOON, async || {
        let stored = rig.last_sequence().await;
        let mut seen = seen.lock().expect("not poisoned");
        *seen = if seen.0 == stored { (stored, seen.1 + 1) } else { (stored, 0) };
        seen.1 > 20
    })
    .await;
    let arrived = rig.last_sequence().await;
    assert!(arrived < 1_900, "{arrived} messages: a client that is left to itself sends all that it has");
    assert!(publish(&transport, &held, SOON).await.iter().all(|o| *o == Outcome::Delivered));
    let numbers: Vec<String> = rig.stored().await.iter().map(|record| record.text().trim().to_owned()).collect();
    assert_eq!(numbers, (0..2_000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_application_is_made_anew_when_it_fails() {
    let rig = Rig::own(Config::default()).await;
    let url = rig.nats.url().to_owned();
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let config = NatsConfig::from_connector(move || {
        counted.fetch_add(1, Ordering::AcqRel);
        async_nats::connect(url.clone())
    });
    let topic = rig.topic("own");
    let mut relayed = relayed(config.ack_timeout(Duration::from_secs(1)));
    for _ in 0..2 {
        relayed.commit(&topic, 100, 0);
        relayed.further_delivered(100).await;
        rig.nats.restart().await;
    }
    relayed.delivered().await;
    assert!(made.load(Ordering::Acquire) >= 2);
    rig.end(relayed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_panic_in_a_connector_there_is_a_new_client() {
    let calls = Arc::new(AtomicUsize::new(0));
    let called = calls.clone();
    let connector = move || {
        let call = called.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(call > 0, "a connector that panics once");
            Err::<async_nats::Client, _>("no server today")
        }
    };
    let transport = NatsTransport::connect(NatsConfig::from_connector(connector)).expect("valid settings");
    let why = async |n| match publish(&transport, &numbers("orders", n..n + 1), SOON).await.remove(0) {
        Outcome::Unknown(Some(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(0).await.contains("thread ended"));
    assert!(why(1).await.contains("no server today"));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}
