//! What is found before the first publish.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use outbox_core::Transport;
use outbox_nats::NatsTransport;
use testkit::{numbers, publish};

use crate::rig::{Rig, SOON};

async fn found(rig: &Rig, transport: &NatsTransport) -> Vec<String> {
    let findings = transport.check(&[rig.topic("x")]).await.expect("an answer");
    findings.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_keeps_what_it_acknowledges_is_in_order() {
    let rig = Rig::shared(Config::default()).await;
    assert_eq!(found(&rig, &rig.transport()).await, Vec::<String>::new());
    let prefixed = NatsTransport::connect(rig.config().subject_prefix(rig.name.clone())).expect("valid settings");
    assert_eq!(prefixed.check(&["x".into()]).await.expect("an answer"), []);
    assert_eq!(publish(&prefixed, &numbers("x", 0..1), SOON).await, [outbox_core::transport::Outcome::Delivered]);
    assert_eq!(rig.stored().await[0].subject, rig.topic("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_messages_is_found_with_advice() {
    let bad = Config {
        storage: StorageType::Memory,
        no_ack: true,
        duplicate_window: Duration::from_secs(1),
        max_message_size: 5_000,
        max_messages: 10,
        retention: RetentionPolicy::Interest,
        ..Config::default()
    };
    let rig = Rig::shared(bad).await;
    let transport = NatsTransport::connect(rig.config().atomic_batches(true)).expect("valid settings");
    let findings = found(&rig, &transport).await;
    for word in
        ["in memory only", "no_ack", "duplicate_window", "max_msg_size", "max_msgs 10", "consumer", "allow_atomic"]
    {
        assert!(findings.iter().any(|finding| finding.contains(word)), "{word}: {findings:#?}");
    }
    assert_eq!(findings.len(), 7, "{findings:#?}");
    let more = rig.config().max_payload(4 << 20);
    let findings = found(&rig, &NatsTransport::connect(more).expect("valid settings")).await;
    assert!(findings.iter().any(|finding| finding.contains("max_payload to 4262880")), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_missing_is_found_or_made() {
    let rig = Rig::shared(Config::default()).await;
    let (stream, topic) = (format!("{}-made", rig.name), format!("{}-made.x", rig.name));
    let topics = [topic.clone(), "no.*.topic".to_owned()];
    let findings = rig.transport().check(&topics).await.expect("an answer");
    assert!(findings[0].to_string().contains("no stream has the subject"), "{findings:?}");
    assert!(findings[1].to_string().contains("wildcard"), "{findings:?}");
    let window = Duration::from_secs(300);
    let declaring = rig.config().dedup_window(window).declare(&stream, [format!("{stream}.>")]);
    for _ in 0..2 {
        let transport = NatsTransport::connect(declaring.clone()).expect("valid settings");
        assert_eq!(transport.check(std::slice::from_ref(&topic)).await.expect("an answer"), []);
    }
    let made = rig.jetstream.get_stream(&stream).await.expect("the stream");
    let made = &made.cached_info().config;
    assert_eq!((made.storage, made.duplicate_window), (StorageType::File, window));
}
