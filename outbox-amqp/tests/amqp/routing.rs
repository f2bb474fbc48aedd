//! What no queue takes was not delivered.

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::AMQPValue;
use lapin::types::FieldTable;
use outbox_core::wire::WireFormat;
use outbox_core::{BatchBuilder, Row};
use testkit::{CloudEvent, Copy, Relayed, eventually};

use super::*;

/// The client hands a return out with any confirm, so that looking at a confirm alone is right now and then only.
#[tokio::test(flavor = "multi_thread")]
async fn of_thousands_under_way_exactly_the_unroutable_are_not_delivered() {
    let broker = RabbitMq::shared().await;
    let transport = connect(broker.url());
    for quorum in [false, true] {
        let topic = broker.queue("mixed", quorum).await;
        for round in 0..5 {
            let first = round * 2_000;
            let sample = |n: i64| number(if n % 7 == 3 { "nobody-here" } else { &topic }, n, n);
            let samples: Vec<Sample<'_>> = (first..first + 2_000).map(sample).collect();
            let outcomes = publish(&transport, &batch(first, &samples), SOON).await;
            let mut unroutable = 0;
            for (n, outcome) in (first..).zip(&outcomes) {
                if n % 7 == 3 {
                    unroutable += 1;
                    let said = matches!(outcome, Outcome::Destination(why) if why.contains("nobody-here") && why.contains("312"));
                    assert!(said, "{n} went nowhere, and was {outcome:?}");
                } else {
                    assert_eq!(*outcome, Outcome::Delivered, "{n}");
                }
            }
            assert!(unroutable >= 285, "{unroutable}");
            let expected: Vec<String> = (first..first + 2_000).filter(|n| n % 7 != 3).map(|n| n.to_string()).collect();
            assert_eq!(texts(&broker, &topic).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_in_two_topics_is_told_apart() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("twice", true).await;
    let transport = connect(broker.url());
    let mut batch = BatchBuilder::new();
    for (seq, topic) in (1..).zip([topic.as_str(), "nobody-here"]) {
        batch.push(&Row {
            seq,
            id: 7,
            created_at: 0,
            topic,
            key: None,
            event_type: "e",
            payload: b"x",
            content_type: None,
            headers: None,
        });
    }
    let outcomes = publish(&transport, &batch.finish(), SOON).await;
    assert!(matches!(&outcomes[..], [Outcome::Delivered, Outcome::Destination(_)]), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_exchange_routes_by_the_topic() {
    let broker = RabbitMq::shared().await;
    let (channel, queue) = (broker.channel().await, broker.queue("bound", true).await);
    let exchange = format!("{queue}-exchange");
    let options = ExchangeDeclareOptions { durable: true, auto_delete: true, ..ExchangeDeclareOptions::default() };
    let declared =
        channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, options, FieldTable::default());
    declared.await.expect("declared");
    let (options, table) = (QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(queue.as_str().into(), exchange.as_str().into(), "orders.*".into(), options, table);
    bound.await.expect("bound");

    let config = AmqpConfig::new(broker.url()).exchange(&exchange);
    let transport = AmqpTransport::connect(config).expect("valid settings");
    let samples = [number("orders.paid", "k", 1), number("payments", "k", 2)];
    let outcomes = publish(&transport, &batch(1, &samples), SOON).await;
    assert!(matches!(&outcomes[..], [Outcome::Delivered, Outcome::Destination(_)]), "{outcomes:?}");
    let stored = broker.take(&queue).await;
    assert_eq!((stored.len(), stored[0].routing_key.as_str()), (1, "orders.paid"));
    transport.close().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_events_arrive_in_both_modes() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("ce", true).await;
    for format in [WireFormat::cloud_events_binary("/orders"), WireFormat::cloud_events_structured("/orders")] {
        let config = AmqpConfig::new(broker.url()).format(format);
        let transport = AmqpTransport::connect(config).expect("valid settings");
        assert_eq!(publish(&transport, &CloudEvent::batch(&topic), SOON).await, [Outcome::Delivered]);
    }
    let stored = broker.take(&topic).await;
    let header = |name: &str| match stored[0].properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        other => panic!("{name} is {other:?}"),
    };
    CloudEvent::assert_binary("cloudEvents:", header, &stored[0].data);
    CloudEvent::assert_structured(&stored[1].data);
    let types: Vec<_> = stored.iter().map(|m| m.properties.content_type().as_ref().map(ToString::to_string)).collect();
    assert_eq!(types, ["application/json", "application/cloudevents+json; charset=utf-8"].map(|t| Some(t.to_owned())));
}

fn full_at(most: i64) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(most));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_a_matter_of_its_destination() {
    let broker = RabbitMq::shared().await;
    let healthy = broker.queue("healthy", true).await;
    let full = format!("{healthy}-full");
    broker.queue_with(&full, false, full_at(1)).await;
    let transport = connect(broker.url());
    assert!(all_delivered(&publish(&transport, &numbers(&full, 0..1), SOON).await));
    let sample = |n: i64| number(if n % 2 == 0 { &full } else { &healthy }, n, n);
    let mixed = batch(1, &(0..500).map(sample).collect::<Vec<_>>());
    for (n, outcome) in publish(&transport, &mixed, SOON).await.iter().enumerate() {
        match outcome {
            Outcome::Destination(why) => {
                assert!(n % 2 == 0 && why.contains("nack") && why.contains(&full), "{n}: {why}")
            }
            outcome => assert!(n % 2 == 1 && *outcome == Outcome::Delivered, "{n}: {outcome:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_waited_for_while_another_one_goes_on() {
    let broker = RabbitMq::shared().await;
    let healthy = broker.queue("healthy", true).await;
    let full = format!("{healthy}-full");
    broker.queue_with(&full, true, full_at(5)).await;
    let mut relayed = Relayed::start(connect(broker.url()), Duration::from_secs(10));
    // By turns, so that one publish has messages of both.
    for _ in 0..5 {
        relayed.commit_keys("full", &full, 4, 0);
        relayed.commit_keys("healthy", &healthy, 4, 0);
    }
    relayed.topics_held(1).await;
    let stats = relayed.stats();
    assert_eq!((stats.failed, stats.dead, stats.outages), (0, 0, 0), "{stats:?}");
    assert!(stats.delivered >= 200 && stats.connected, "{stats:?}");
    // Someone reads it, and there is room for some more each time.
    let taken = std::cell::RefCell::new(Vec::new());
    eventually("everything is delivered", SOON * 4, async || {
        let more = broker.take(&full).await;
        taken.borrow_mut().extend(more);
        relayed.stats().delivered == relayed.committed()
    })
    .await;
    relayed.assert_nothing_was_given_up(0);
    let copy = |m: lapin::message::Delivery| Copy {
        id: m.properties.message_id().as_ref().expect("an id").to_string(),
        key: m.properties.headers().as_ref().and_then(|headers| match headers.inner().get("message-key") {
            Some(AMQPValue::LongString(key)) => Some(key.to_string()),
            _ => None,
        }),
        payload: m.data,
    };
    let stored = async || {
        let mut all = taken.into_inner();
        all.extend(broker.take(&full).await);
        all.extend(broker.take(&healthy).await);
        all.into_iter().map(copy).collect()
    };
    relayed.end(stored, 0).await;
}
