//! The transport against a real Kafka.

use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_core::{Batch, BatchBuilder, Outcomes, Row, Transport};
use outbox_kafka::{KafkaConfig, KafkaTransport};
use testkit::{Kafka, KafkaRecord, Proxy, free_port};

const SOON: Duration = Duration::from_secs(30);

struct Sample<'a> {
    topic: &'a str,
    key: Option<&'a str>,
    payload: Vec<u8>,
    headers: Option<&'a str>,
}

fn batch(first: i64, samples: &[Sample<'_>]) -> Batch {
    let mut batch = BatchBuilder::new();
    for (seq, s) in (first..).zip(samples) {
        batch.push(&Row {
            seq,
            id: seq as u128,
            created_at: 0,
            topic: s.topic,
            key: s.key,
            event_type: "order.created",
            payload: &s.payload,
            content_type: Some("text/plain"),
            headers: s.headers,
        });
    }
    batch.finish()
}

/// Numbered payloads under one key.
fn numbers(topic: &str, range: std::ops::Range<i64>) -> Batch {
    let sample = |n: i64| Sample { topic, key: Some("k"), payload: n.to_string().into_bytes(), headers: None };
    batch(range.start, &range.map(sample).collect::<Vec<_>>())
}

fn connect(bootstrap: &str) -> KafkaTransport {
    KafkaTransport::connect(KafkaConfig::new(bootstrap)).expect("valid settings")
}

/// Publishes as the relay does: within a deadline, after which the future is dropped and the outcomes are closed.
async fn publish(transport: &KafkaTransport, batch: &Batch, deadline: Duration) -> Vec<Outcome> {
    let out = Outcomes::new(batch.len());
    _ = tokio::time::timeout(deadline, transport.publish(batch.clone(), &out)).await;
    out.close();
    (0..out.len()).map(|i| out.get(i)).collect()
}

fn texts(records: &[KafkaRecord]) -> Vec<&str> {
    records.iter().map(KafkaRecord::text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_stored_as_it_was_sent() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("sent", 3).await;
    let sent = [
        Sample { topic: &topic, key: Some("ключ"), payload: vec![0, 255, 7], headers: Some(r#"{"trace":"ü"}"#) },
        Sample { topic: &topic, key: None, payload: Vec::new(), headers: None },
        // A header with the name of one of ours does not replace it.
        Sample { topic: &topic, key: Some("k"), payload: b"x".to_vec(), headers: Some(r#"{"message-id":"no"}"#) },
    ];
    let outcomes = publish(&connect(kafka.bootstrap()), &batch(1, &sent), SOON).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 3]);
    let mut records = kafka.consume(&topic).await;
    records.sort_by_key(|r| r.header("message-id").map(str::to_owned));
    assert_eq!(records.len(), 3);
    for (n, (record, sample)) in records.iter().zip(&sent).enumerate() {
        assert_eq!((record.key(), &record.payload), (sample.key, &sample.payload));
        let id = format!("00000000-0000-0000-0000-{:012}", n + 1);
        assert_eq!(record.header("message-id"), Some(id.as_str()));
        assert_eq!(record.header("event-type"), Some("order.created"));
        assert_eq!(record.header("content-type"), Some("text/plain"));
        assert_eq!(record.headers.iter().filter(|(name, _)| name == "message-id").count(), 1);
    }
    assert_eq!(records[0].header("trace"), Some("ü"));
    assert!(records[1].key.is_none(), "no key is null, not empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_in_flight_together_keep_their_order() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("order", 1).await;
    let transport = connect(kafka.bootstrap());
    let batches: Vec<Batch> = (0..10).map(|n| numbers(&topic, n * 500..(n + 1) * 500)).collect();
    let all = batches.iter().map(|batch| publish(&transport, batch, SOON));
    let mut outcomes = futures_util::future::join_all(all).await.into_iter().flatten();
    assert!(outcomes.all(|o| o == Outcome::Delivered));
    let records = kafka.consume(&topic).await;
    let expected: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    assert_eq!(texts(&records), expected);
    transport.close().await.expect("all was confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_concerns_its_own_messages_only() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("there", 1).await;
    let sample = |topic| Sample { topic, key: Some("k"), payload: b"x".to_vec(), headers: None };
    let mixed = batch(1, &[sample(topic.as_str()), sample("never-created"), sample(topic.as_str())]);
    let transport = connect(kafka.bootstrap());
    // Within the relay's default publish deadline.
    let outcomes = publish(&transport, &mixed, Duration::from_secs(10)).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Delivered, &Outcome::Delivered));
    assert!(matches!(&outcomes[1], Outcome::Destination(e) if e.contains("nknown topic")), "{outcomes:?}");
    assert_eq!(publish(&transport, &numbers(&topic, 5..6), SOON).await, [Outcome::Delivered], "the client goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_that_the_broker_refuses_costs_only_itself() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic_with("small", 2, &[("max.message.bytes", "10000")]).await;
    let sample = |n: usize| {
        let payload = if n == 7 { vec![b'x'; 20_000] } else { n.to_string().into_bytes() };
        Sample { topic: &topic, key: Some(if n.is_multiple_of(2) { "even" } else { "odd" }), payload, headers: None }
    };
    let samples: Vec<Sample<'_>> = (0..20).map(sample).collect();
    let transport = connect(kafka.bootstrap());
    // As the relay does: what is not known is sent again, in order, until everything is known.
    let mut left: Vec<usize> = (0..20).collect();
    let mut rejected = Vec::new();
    for _ in 0..20 {
        let again: Vec<Sample<'_>> = left.iter().map(|n| sample(*n)).collect();
        let outcomes = publish(&transport, &batch(0, &again), SOON).await;
        rejected.extend(left.iter().zip(&outcomes).filter(|(_, o)| matches!(o, Outcome::Rejected(_))).map(|(n, _)| *n));
        let unknown = |o: &Outcome| matches!(o, Outcome::Unknown(_));
        left = left.into_iter().zip(&outcomes).filter(|(_, o)| unknown(o)).map(|(n, _)| n).collect();
        if left.is_empty() {
            break;
        }
    }
    assert_eq!((left, rejected), (vec![], vec![7]), "of {} messages", samples.len());
    let records = kafka.consume(&topic).await;
    for key in ["even", "odd"] {
        let mut seen = Vec::new();
        for n in records.iter().filter(|r| r.key() == Some(key)).map(|r| r.text().parse::<u32>().expect("a number")) {
            if !seen.contains(&n) {
                seen.push(n);
            }
        }
        assert!(seen.is_sorted(), "{key}: {seen:?}");
        assert_eq!(seen.len(), if key == "odd" { 9 } else { 10 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_in_mid_run_leaves_no_gap_behind_which_anything_is_stored() {
    let port = free_port();
    let kafka = Kafka::own_behind(port).await;
    let proxy = Proxy::start_on(port, format!("127.0.0.1:{}", kafka.direct_port())).await.expect("a free port");
    let topic = kafka.topic("cut", 1).await;
    let transport = connect(kafka.bootstrap());
    assert_eq!(publish(&transport, &numbers(&topic, 0..1), SOON).await, [Outcome::Delivered]);

    // Acknowledgements that never come: the deadline ends the publish, and the client with it.
    proxy.drop_replies();
    let outcomes = publish(&transport, &numbers(&topic, 1..2_001), Duration::from_secs(2)).await;
    assert!(outcomes.iter().all(|o| matches!(o, Outcome::Unknown(_))), "nothing was acknowledged");
    proxy.heal();
    assert!(publish(&transport, &numbers(&topic, 1..2_001), SOON).await.iter().all(|o| *o == Outcome::Delivered));

    // Connections that are cut again and again while batches are under way.
    let mut next = 2_001;
    for _ in 0..5 {
        let run = numbers(&topic, next..next + 2_000);
        let (outcomes, ()) = tokio::join!(publish(&transport, &run, SOON), async { proxy.cut() });
        let known = outcomes.iter().take_while(|o| **o == Outcome::Delivered).count();
        assert!(outcomes[known..].iter().all(|o| *o != Outcome::Delivered), "a gap in what was acknowledged");
        next += i64::try_from(known).expect("a count");
    }
    let records = kafka.consume(&topic).await;
    let mut first: Vec<i64> = Vec::new();
    for n in records.iter().map(|r| r.text().parse().expect("a number")) {
        if first.last().is_none_or(|last| *last < n) {
            first.push(n);
        }
    }
    let top = *first.last().expect("records");
    assert!(top >= next - 1, "what was acknowledged is there");
    assert_eq!(first, (0..=top).collect::<Vec<_>>(), "first occurrences without a gap or an inversion");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_broker_is_waited_for() {
    let kafka = Kafka::own().await;
    let topic = kafka.topic("away", 1).await;
    kafka.kill().await;
    let transport = connect(kafka.bootstrap());
    let outcomes = publish(&transport, &numbers(&topic, 0..10), Duration::from_secs(1)).await;
    assert!(outcomes.iter().all(|o| matches!(o, Outcome::Unknown(_))));
    kafka.start().await;
    assert_eq!(publish(&transport, &numbers(&topic, 0..10), SOON).await, vec![Outcome::Delivered; 10]);
    let records = kafka.consume(&topic).await;
    assert_eq!(texts(&records), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "nothing of the first try came");
}
