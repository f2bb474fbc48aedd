//! The transport against a real Kafka.

use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_core::wire::WireFormat;
use outbox_core::{Batch, Transport};
use outbox_kafka::{KafkaConfig, KafkaTransport};
use testkit::{CloudEvent, Kafka, KafkaRecord, Proxy, Sample, batch, free_port, numbers, publish};

const SOON: Duration = Duration::from_secs(30);

fn connect(bootstrap: &str) -> KafkaTransport {
    KafkaTransport::connect(KafkaConfig::new(bootstrap)).expect("valid settings")
}

fn texts(records: &[KafkaRecord]) -> Vec<&str> {
    records.iter().map(KafkaRecord::text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_stored_as_it_was_sent() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("sent", 3).await;
    let sent = [
        Sample::new(&topic).key("ключ").payload([0, 255, 7]).headers(r#"{"trace":"ü"}"#),
        Sample::new(&topic).payload([]),
        // A header with the name of one of ours does not replace it.
        Sample::new(&topic).key("k").headers(r#"{"message-id":"no"}"#),
    ];
    let outcomes = publish(&connect(kafka.bootstrap()), &batch(1, &sent), SOON).await;
    assert_eq!(outcomes, vec![Outcome::Delivered; 3]);
    let mut records = kafka.consume(&topic).await;
    records.sort_by_key(|r| r.header("message-id").map(str::to_owned));
    assert_eq!(records.len(), 3);
    let expected = [(Some("ключ"), &[0, 255, 7][..]), (None, b""), (Some("k"), b"x")];
    for (n, (record, expected)) in records.iter().zip(expected).enumerate() {
        assert_eq!((record.key(), &*record.payload), expected);
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
    let mixed = [&topic, "never-created", &topic].map(|topic| Sample::new(topic).key("k"));
    let mixed = batch(1, &mixed);
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
        Sample::new(&topic).key(if n.is_multiple_of(2) { "even" } else { "odd" }).payload(payload)
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

#[tokio::test(flavor = "multi_thread")]
async fn cloud_events_arrive_in_both_modes() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("ce", 1).await;
    for format in [WireFormat::cloud_events_binary("/orders"), WireFormat::cloud_events_structured("/orders")] {
        let config = KafkaConfig::new(kafka.bootstrap()).format(format);
        let transport = KafkaTransport::connect(config).expect("valid settings");
        assert_eq!(publish(&transport, &CloudEvent::batch(&topic), SOON).await, [Outcome::Delivered]);
    }
    let records = kafka.consume(&topic).await;
    CloudEvent::assert_binary("ce_", |name| records[0].header(name).map(str::to_owned), &records[0].payload);
    CloudEvent::assert_structured(&records[1].payload);
    let types: Vec<_> = records.iter().map(|r| r.header("content-type")).collect();
    assert_eq!(types, [Some("application/json"), Some("application/cloudevents+json; charset=utf-8")]);
    assert!(records.iter().all(|r| r.key() == Some("ключ")));
}

/// Whom it cannot reach, and why, is said of every message that waits: at the deadline, and by the next client too.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_complains_of_is_said_of_what_was_not_confirmed() {
    let nobody = format!("127.0.0.1:{}", free_port());
    for (bootstrap, word) in [(nobody.as_str(), "refused"), ("no-such-host.invalid:9092", "resolve")] {
        let transport = connect(bootstrap);
        let host = bootstrap.split_once(':').expect("host:port").0;
        let said = |o: &Outcome| matches!(o, Outcome::Unknown(Some(why)) if why.contains(word) && why.contains(host));
        for seconds in [3, 1] {
            let outcomes = publish(&transport, &numbers("t", 0..10), Duration::from_secs(seconds)).await;
            assert!(outcomes.iter().all(said), "{bootstrap}: {:?}", outcomes[0]);
        }
        // Two at once: the one that ends first takes the client of the other.
        let (first, second) = (numbers("t", 0..10), numbers("t", 10..20));
        let (first, second) =
            tokio::join!(publish(&transport, &first, Duration::from_secs(1)), publish(&transport, &second, SOON));
        assert!(first.iter().chain(&second).all(said), "{bootstrap}: {:?} {:?}", first[0], second[0]);
    }
}
