//! Many messages of a key at once.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use outbox_core::transport::Outcome;
use outbox_core::{Outcomes, Transport};
use outbox_nats::{NatsConfig, NatsTransport};
use testkit::{Proxy, Sample, batch, numbers, publish};

use crate::rig::{Record, Rig, SOON};

fn atomic() -> Config {
    Config { allow_atomic_publish: true, ..Config::default() }
}

fn transport(config: NatsConfig) -> NatsTransport {
    NatsTransport::connect(config.atomic_batches(true)).expect("valid settings")
}

async fn texts(rig: &Rig) -> Vec<String> {
    rig.stored().await.iter().map(Record::text).collect()
}

fn expected(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_stored_at_once_and_in_order() {
    let rig = Rig::shared(atomic()).await;
    // More than one run.
    let outcomes = publish(&transport(rig.config()), &numbers(&rig.topic("x"), 0..2_500), SOON).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 2_500]);
    let stored = rig.stored().await;
    assert_eq!(stored.iter().map(Record::text).collect::<Vec<_>>(), expected(0..2_500));
    let id = |n: usize| stored[n].header("Nats-Batch-Id").map(str::to_owned);
    assert!(id(0).is_some() && id(0) == id(999) && id(999) != id(1_000), "it went by runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_acknowledgement_a_batch_is_sent_again_one_by_one() {
    let rig = Rig::own(atomic()).await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", rig.nats.port())).await.expect("a free port");
    let config = NatsConfig::new(rig.nats.url_by(proxy.addr().port())).ack_timeout(Duration::from_secs(2));
    let (transport, topic) = (transport(config), rig.topic("x"));
    assert_eq!(publish(&transport, &numbers(&topic, 0..2), SOON).await, vec![Outcome::Delivered; 2]);
    proxy.drop_replies();
    let outcomes = publish(&transport, &numbers(&topic, 2..30), SOON).await;
    assert!(outcomes.iter().all(|o| matches!(o, Outcome::Unknown(_))), "{outcomes:?}");
    proxy.heal();
    // What is stored already, and what is not, in one batch: the server refuses it as a whole.
    assert_eq!(publish(&transport, &numbers(&topic, 2..40), SOON).await, vec![Outcome::Delivered; 38]);
    assert_eq!(texts(&rig).await, expected(0..40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_stream_refuses_costs_only_itself() {
    let rig = Rig::shared(Config { max_message_size: 10_000, ..atomic() }).await;
    let topic = rig.topic("x");
    let sample = |n: i64| {
        let payload = if n == 7 { vec![b'x'; 20_000] } else { n.to_string().into_bytes() };
        Sample::new(&topic).key("k").payload(payload)
    };
    let outcomes = publish(&transport(rig.config()), &batch(0, &(0..20).map(sample).collect::<Vec<_>>()), SOON).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Rejected(why) => assert!(n == 7 && why.contains("exceeds maximum"), "{outcomes:?}"),
            other => assert!(n != 7 && *other == Outcome::Delivered, "{outcomes:?}"),
        }
    }
    let mut all = expected(0..20);
    all.remove(7);
    assert_eq!(texts(&rig).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_servers_limit_costs_only_itself() {
    let rig = Rig::shared(atomic()).await;
    let topic = rig.topic("x");
    // The relay is told that more fits than the server takes.
    let transport = transport(rig.config().max_payload(4 << 20));
    // With headers from below the limit of 1 MiB to over it: with those of a batch, or even without.
    let size = |n: i64| (1 << 20) - 640 + 24 * usize::try_from(n).expect("a number");
    let large = |n: i64| Sample::new(&topic).key("k").payload(vec![b'x'; size(n)]);
    let samples: Vec<Sample<'_>> = (0..24).flat_map(|n| [Sample::new(&topic).key("k").text(n), large(n)]).collect();
    let outcomes = publish(&transport, &batch(0, &samples), SOON).await;
    let refused =
        |o: &Outcome| matches!(o, Outcome::Rejected(why) if why.contains("max_payload") || why.contains("limit"));
    let fit = outcomes.iter().filter(|o| **o == Outcome::Delivered).count() - 24;
    assert!(fit > 0 && fit < 24, "{outcomes:?}");
    for (n, both) in outcomes.chunks(2).enumerate() {
        assert_eq!(both[0], Outcome::Delivered, "{n}");
        assert!(if n < fit { both[1] == Outcome::Delivered } else { refused(&both[1]) }, "{n}: {:?}", both[1]);
    }
    let order = |n: usize| (n.to_string().len(), (n < fit).then(|| size(i64::try_from(n).expect("a number"))));
    let expected: Vec<usize> = (0..24).map(order).flat_map(|(text, large)| [Some(text), large]).flatten().collect();
    assert_eq!(rig.stored().await.iter().map(|record| record.payload.len()).collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_stream_stores_no_batches_messages_go_one_by_one() {
    let rig = Rig::shared(Config::default()).await;
    let outcomes = publish(&transport(rig.config()), &numbers(&rig.topic("x"), 0..200), SOON).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 200]);
    let stored = rig.stored().await;
    assert_eq!(stored.iter().map(Record::text).collect::<Vec<_>>(), expected(0..200));
    assert!(stored.iter().all(|record| record.header("Nats-Batch-Id").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_take_their_turn_in_the_order_of_their_first_polls() {
    let rig = Rig::shared(atomic()).await;
    let (transport, topic) = (transport(rig.config()), rig.topic("x"));
    // The first one takes three runs.
    let (first, second) = (numbers(&topic, 0..2_500), numbers(&topic, 2_500..2_510));
    let (first, second) = tokio::join!(publish(&transport, &first, SOON), publish(&transport, &second, SOON));
    assert!(first.iter().chain(&second).all(|o| *o == Outcome::Delivered));
    assert_eq!(texts(&rig).await, expected(0..2_510));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_publish_that_was_dropped_is_not_stored() {
    let rig = Rig::shared(atomic()).await;
    let (transport, topic) = (transport(rig.config()), rig.topic("x"));
    let (dropped, behind) = (numbers(&topic, 0..4_000), numbers(&topic, 4_000..4_010));
    let out = Outcomes::new(dropped.len());
    let first = async {
        let begun = async {
            while out.get(0) != Outcome::Delivered {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = transport.publish(dropped.clone(), &out) => {}
            () = begun => {}
        }
    };
    let ((), second) = tokio::join!(first, publish(&transport, &behind, SOON));
    assert!(!out.all_delivered() && second.iter().all(|o| matches!(o, Outcome::Unknown(_))), "{second:?}");
    for again in [dropped, behind] {
        assert!(publish(&transport, &again, SOON).await.iter().all(|o| *o == Outcome::Delivered));
    }
    assert_eq!(texts(&rig).await, expected(0..4_010));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_on_before_a_failure_was_known_is_not_stored() {
    let rig = Rig::own(atomic()).await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", rig.nats.port())).await.expect("a free port");
    let config = NatsConfig::new(rig.nats.url_by(proxy.addr().port()));
    let (transport, topic) = (transport(config), rig.topic("x"));
    assert_eq!(publish(&transport, &numbers(&topic, 0..2), SOON).await, vec![Outcome::Delivered; 2]);
    proxy.black_hole();
    let (first, second, third) = (numbers(&topic, 2..10), numbers(&topic, 10..20), numbers(&topic, 20..30));
    let mut under_way = pin!(publish(&transport, &first, SOON));
    std::future::poll_fn(|cx| Poll::Ready(under_way.as_mut().poll(cx).is_ready())).await;
    // The client ends, and nobody has looked at the first publish since.
    publish(&transport, &second, Duration::from_millis(100)).await;
    proxy.heal();
    let (third_said, first_said) = tokio::join!(publish(&transport, &third, SOON), under_way);
    assert!(first_said.iter().chain(&third_said).all(|o| matches!(o, Outcome::Unknown(_))), "{third_said:?}");
    for again in [&first, &second, &third] {
        assert!(publish(&transport, again, SOON).await.iter().all(|o| *o == Outcome::Delivered));
    }
    assert_eq!(texts(&rig).await, expected(0..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_stream_is_a_matter_of_the_destination_for_all_that_waits() {
    let rig = Rig::shared(atomic()).await;
    let (transport, missing, there) = (transport(rig.config()), format!("{}-none", rig.name), rig.topic("x"));
    let sample = |topic, key, n: i64| Sample::new(topic).key(key).text(n);
    let first = batch(0, &[sample(&missing, "k", 1), sample(&missing, "k", 2)]);
    let second = batch(2, &[sample(&missing, "l", 3), sample(&there, "l", 4)]);
    let (first, second) = tokio::join!(publish(&transport, &first, SOON), publish(&transport, &second, SOON));
    for outcome in first.iter().chain(&second[..1]) {
        assert!(matches!(outcome, Outcome::Destination(why) if why.contains("no stream")), "{outcome:?}");
    }
    assert_eq!(second[1], Outcome::Delivered);
}
