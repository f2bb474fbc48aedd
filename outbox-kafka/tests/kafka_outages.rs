//! Outages of a real broker, with a relay that runs through them.

mod relayed;

use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::{Message, Relay, StoreRelay};
use outbox_kafka::{KafkaConfig, KafkaTransport};
use testkit::{Kafka, KafkaPair, Proxy, free_port};

/// The alarm of `min.insync.replicas`: a broker that is there, answers, and stores nothing.
#[tokio::test(flavor = "multi_thread")]
async fn too_few_replicas_cost_nothing_but_time() {
    let kafka = KafkaPair::own().await;
    let topic = kafka.careful_topic("isr", 2).await;
    let mut relay = relayed::start(&kafka);
    relay.commit(&topic, 10, 100);
    relay.delivered().await;
    kafka.kill_second().await;
    relay.commit(&topic, 100, 100);
    relay.noticed().await;
    relay.tried(3).await;
    assert_eq!(relay.stats().delivered, 100);
    relay.assert_nothing_was_given_up(0);
    kafka.start_second().await;
    relay.delivered().await;
    relay.assert_nothing_was_given_up(0);
    relayed::end(relay, &kafka, &topic, 20_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_started_again_loses_nothing() {
    let kafka = Kafka::own().await;
    let topic = kafka.topic("killed", 2).await;
    let mut relay = relayed::start(&kafka);
    relay.commit(&topic, 10, 100);
    relay.delivered().await;
    kafka.kill().await;
    relay.commit(&topic, 200, 100);
    relay.tried(3).await;
    relay.assert_nothing_was_given_up(0);
    kafka.start().await;
    relay.delivered().await;
    relay.assert_nothing_was_given_up(0);
    // And in the midst of a run, when some of a batch may be known and some not.
    for _ in 0..2 {
        relay.commit(&topic, 500, 1_000);
        kafka.kill().await;
        relay.commit(&topic, 100, 1_000);
        kafka.start().await;
        relay.delivered().await;
    }
    let attempts = 2 * 6_000;
    relay.assert_nothing_was_given_up(attempts);
    relayed::end(relay, &kafka, &topic, 2 * 20_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_that_never_come_are_no_loss_and_no_inversion() {
    let port = free_port();
    let kafka = Kafka::own_behind(port).await;
    let proxy = Proxy::start_on(port, format!("127.0.0.1:{}", kafka.direct_port())).await.expect("a free port");
    let topic = kafka.topic("unanswered", 2).await;
    let mut relay = relayed::start(&kafka);
    for _ in 0..3 {
        relay.commit(&topic, 50, 100);
        relay.delivered().await;
        // The requests arrive, and their replies do not: stored, and not known.
        proxy.drop_replies();
        relay.commit(&topic, 200, 1_000);
        relay.tried(3).await;
        relay.assert_nothing_was_given_up(0);
        proxy.heal();
        relay.delivered().await;
    }
    relay.assert_nothing_was_given_up(0);
    relayed::end(relay, &kafka, &topic, 3 * 20_000).await;
}

/// What even the limits of the store let through.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_become_dead_letters_alone_and_say_why() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("hostile", 1).await;
    let base = |n: usize| Message::new(&topic, "order.created").key(format!("bad-{n}")).text("bad");
    let long = "n".repeat(300);
    let bad = [
        (base(0).payload(vec![b'x'; 2 << 20]), "payload"),
        (Message::new("a b\r\n", "order.created").key("bad-1").text("bad"), "topic"),
        (base(2).header("a\0b", "v"), "NUL"),
        (base(3).header("a\r\nb", "v"), "CR"),
        (base(4).header("a", "v\r\nx: y"), "CR"),
        (base(5).header(&long, "v"), "header name"),
    ];
    // Odd, and legal.
    let odd = [base(12).payload(Vec::new()), Message::new(&topic, "order.created").text("without a key")];
    let (store, mut refused, mut expected) = (MemoryStore::new(), Vec::new(), Vec::new());
    let mut tx = store.begin();
    for (n, (message, word)) in bad.into_iter().enumerate() {
        tx.enqueue(Message::new(&topic, "order.created").key(format!("good-{n}")).text("good"))
            .expect("a good message");
        match tx.enqueue(message) {
            Ok(()) => expected.push(word),
            Err(e) => refused.push((word, e.to_string())),
        }
    }
    let sent = odd.clone();
    for message in odd {
        tx.enqueue(message).expect("within the limits of the store");
    }
    tx.commit();
    assert!(refused.iter().all(|(word, why)| why.contains(word)), "{refused:?}");
    let transport = KafkaTransport::connect(KafkaConfig::new(kafka.bootstrap())).expect("valid settings");
    let relay = StoreRelay::builder("hostile", store.clone(), transport).build().expect("valid settings");
    relay.until_drained(Duration::from_secs(60)).await.expect("drained");
    let dead: Vec<String> = store.dead_letters("hostile").into_iter().map(|(_, why)| why).collect();
    assert_eq!(dead.len(), expected.len(), "{dead:?}");
    for word in expected {
        assert!(dead.iter().any(|why| why.contains(word)), "{word}: {dead:?}");
    }
    let records = kafka.consume(&topic).await;
    assert_eq!(records.iter().filter(|r| r.text() == "good").count(), 6);
    for m in sent {
        let record = records.iter().find(|r| r.header("message-id") == Some(&m.id.to_string())).expect("it is stored");
        assert_eq!((record.key(), &record.payload[..]), (m.key.as_deref(), &m.payload[..]));
        assert!(m.headers.iter().all(|(name, value)| record.header(name) == Some(value)), "{:?}", record.headers);
    }
}
