//! Faults that a real broker cannot be made to show on demand, by librdkafka's own mock cluster.

use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_core::{Batch, BatchBuilder, Outcomes, Row, Transport};
use outbox_kafka::{KafkaConfig, KafkaTransport};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

fn batch(payloads: &[&str]) -> Batch {
    to(&payloads.iter().map(|payload| ("t", "k", *payload)).collect::<Vec<_>>())
}

/// Messages with topic, key and payload.
fn to(messages: &[(&str, &str, &str)]) -> Batch {
    let mut batch = BatchBuilder::new();
    for (seq, (topic, key, payload)) in (1..).zip(messages) {
        batch.push(&Row {
            seq,
            id: seq as u128,
            created_at: 0,
            topic,
            key: Some(key),
            event_type: "e",
            payload: payload.as_bytes(),
            content_type: None,
            headers: None,
        });
    }
    batch.finish()
}

async fn publish(transport: &KafkaTransport, payloads: &[&str]) -> Vec<Outcome> {
    published(transport, batch(payloads)).await
}

async fn published(transport: &KafkaTransport, batch: Batch) -> Vec<Outcome> {
    let out = Outcomes::new(batch.len());
    tokio::time::timeout(Duration::from_secs(30), transport.publish(batch, &out)).await.expect("an answer");
    (0..out.len()).map(|i| out.get(i)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_passes_is_never_seen() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("t", 1, 1).expect("a topic");
    let transport = KafkaTransport::connect(KafkaConfig::new(cluster.bootstrap_servers())).expect("valid settings");
    let passing = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ];
    cluster.request_errors(RDKafkaApiKey::Produce, &passing);
    assert_eq!(publish(&transport, &["1", "2"]).await, vec![Outcome::Delivered; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fatal_error_a_new_client_goes_on() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("t", 1, 1).expect("a topic");
    let transport = KafkaTransport::connect(KafkaConfig::new(cluster.bootstrap_servers())).expect("valid settings");
    assert_eq!(publish(&transport, &["0"]).await, [Outcome::Delivered]);
    let fatal = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER];
    cluster.request_errors(RDKafkaApiKey::Produce, &fatal);
    let outcomes = publish(&transport, &["1", "2"]).await;
    assert!(outcomes.iter().all(|o| matches!(o, Outcome::Unknown(_))), "{outcomes:?}");
    assert_eq!(publish(&transport, &["1", "2"]).await, vec![Outcome::Delivered; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_topic_is_a_matter_of_its_destination() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("t", 1, 1).expect("a topic");
    let transport = KafkaTransport::connect(KafkaConfig::new(cluster.bootstrap_servers())).expect("valid settings");
    cluster.topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).expect("an error");
    let outcomes = publish(&transport, &["1"]).await;
    assert!(matches!(&outcomes[0], Outcome::Destination(_)), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_a_message_whose_topic_appears_while_a_later_publish_waits() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("t", 1, 1).expect("a topic");
    cluster.create_topic("u", 1, 1).expect("a topic");
    cluster.topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).expect("an error");
    cluster.partition_leader("u", 0, None).expect("no leader");
    let transport = KafkaTransport::connect(KafkaConfig::new(cluster.bootstrap_servers())).expect("valid settings");
    let first = async {
        let outcomes = published(&transport, to(&[("t", "k", "1")])).await;
        cluster.topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).expect("no error");
        cluster.partition_leader("u", 0, Some(1)).expect("a leader");
        outcomes
    };
    let second = published(&transport, to(&[("u", "j", "x"), ("t", "k", "2")]));
    let (first, second) = tokio::join!(first, second);
    assert!(matches!(&first[0], Outcome::Destination(_)), "{first:?}");
    assert_eq!(second[0], Outcome::Delivered);
    assert!(matches!(&second[1], Outcome::Destination(_)), "it would be in front of the first: {second:?}");
    assert_eq!(publish(&transport, &["1", "2"]).await, vec![Outcome::Delivered; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_leader_keeps_only_its_own_messages_waiting() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("t", 1, 1).expect("a topic");
    cluster.create_topic("u", 1, 1).expect("a topic");
    cluster.partition_leader("u", 0, None).expect("no leader");
    let transport = KafkaTransport::connect(KafkaConfig::new(cluster.bootstrap_servers())).expect("valid settings");
    let (first, second) = (to(&[("u", "j", "1")]), to(&[("u", "j", "2"), ("t", "k", "1")]));
    let (first_out, second_out) = (Outcomes::new(1), Outcomes::new(2));
    let others = async {
        // The next of this key waits for the first of it, and for nothing else.
        let outcomes = published(&transport, to(&[("t", "k", "2"), ("t", "l", "1"), ("t", "l", "2")])).await;
        assert_eq!(outcomes, vec![Outcome::Delivered; 3]);
    };
    tokio::select! {
        biased;
        () = transport.publish(first, &first_out) => panic!("it has no leader"),
        () = transport.publish(second, &second_out) => panic!("it has no leader"),
        () = others => {}
    }
    let (waits, goes) = (second_out.get(0), second_out.get(1));
    assert!(matches!(waits, Outcome::Unknown(_)) && goes == Outcome::Delivered, "{waits:?} {goes:?}");
}
