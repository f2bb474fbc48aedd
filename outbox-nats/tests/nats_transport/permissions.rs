//! A server with users.

use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, stream};
use outbox_core::transport::Outcome;
use outbox_nats::{NatsConfig, NatsTransport};
use testkit::{Nats, Sample, batch, publish};

use crate::rig::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_is_not_permitted_is_a_destination_and_is_known_at_once() {
    let nats = Nats::own_secured().await;
    let admin = ConnectOptions::with_user_and_password("admin".into(), "admin".into());
    let admin = jetstream::new(admin.connect(nats.url()).await.expect("a server"));
    let subjects = vec!["open.>".into(), "denied.>".into()];
    admin.create_stream(stream::Config { name: "S".into(), subjects, ..Default::default() }).await.expect("a stream");

    let mixed = ["open.a", "denied.a", "open.b", "denied.b", "denied.a"].map(|topic| Sample::new(topic).key("k"));
    let mixed = batch(1, &mixed);
    let expected = [true, false, true, false, false];
    let url = nats.url().replace("://", "://app:s3cr3t@");
    let config = NatsConfig::new(url).ack_timeout(Duration::from_secs(20));
    for atomic in [false, true] {
        let transport = NatsTransport::connect(config.clone().atomic_batches(atomic)).expect("valid settings");
        let start = Instant::now();
        let outcomes = publish(&transport, &mixed, SOON).await;
        for (outcome, permitted) in outcomes.iter().zip(expected) {
            match outcome {
                Outcome::Delivered => assert!(permitted, "{outcomes:?}"),
                // With atomic batches also what comes behind the first one of its topic, which is not sent.
                Outcome::Destination(why) => assert!(!permitted && why.contains("not permitted"), "{outcomes:?}"),
                _ => panic!("{outcomes:?}"),
            }
        }
        assert!(start.elapsed() < Duration::from_secs(5), "not by a timeout");
    }
    let wrong = nats.url().replace("://", "://app:wrong@");
    let transport = NatsTransport::connect(NatsConfig::new(wrong)).expect("valid settings");
    let outcomes = publish(&transport, &mixed, SOON).await;
    let why = format!("{outcomes:?}");
    assert!(
        matches!(outcomes[0], Outcome::Unknown(_)) && why.contains("uthorization") && !why.contains("wrong"),
        "{why}"
    );
}
