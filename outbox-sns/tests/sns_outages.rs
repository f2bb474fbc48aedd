//! Outages under a relay: LocalStack frozen, killed, cut off. Nothing is lost, and nothing is an attempt.

use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_sns::{SnsConfig, SnsTransport};
use support::{publish, sample};
use testkit::{Copy, Localstack, Proxy, Relayed, SnsMessage, SnsTopic, batch, eventually};

mod support;

const SOON: Duration = Duration::from_secs(60);

async fn transport(localstack: &Localstack, url: &str) -> SnsTransport {
    let client = aws_sdk_sns::Client::new(&localstack.settings().await);
    let config = SnsConfig::new(Localstack::ARN_PREFIX).endpoint(url);
    let config = config.attempt_timeout(Duration::from_secs(1)).give_up_after(Duration::from_secs(2));
    SnsTransport::with_client(config, client).expect("valid settings")
}

fn start(transport: SnsTransport) -> Relayed {
    Relayed::start(transport, Duration::from_secs(3))
}

/// Everything is there once, in order, and no message was blamed.
async fn end(relayed: Relayed, topic: &SnsTopic) {
    relayed.assert_nothing_was_given_up(0);
    let copy = |m: SnsMessage| Copy {
        id: m.attributes["message-id"].clone(),
        key: m.attributes.get("message-key").cloned(),
        payload: m.body.into_bytes(),
    };
    // Sent again within the window of deduplication, it is stored once.
    relayed.end(async || topic.messages().await.into_iter().map(copy).collect(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_lost_again_and_again_cost_nothing() {
    let localstack = Localstack::shared().await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", localstack.port())).await.expect("a free port");
    let topic = localstack.topic("replies.fifo").await;
    let mut relayed = start(transport(&localstack, &localstack.url_by(proxy.addr().port())).await);
    relayed.commit(topic.name(), 1, 0);
    relayed.delivered().await;
    for _ in 0..5 {
        proxy.drop_replies();
        relayed.commit(topic.name(), 1, 0);
        // After the requests, before the replies.
        eventually("it is stored", SOON, async || topic.messages().await.len() as u64 == relayed.committed()).await;
        assert!(relayed.stats().delivered < relayed.committed(), "every reply was lost");
        proxy.heal();
        relayed.delivered().await;
        relayed.commit(topic.name(), 1, 0);
        proxy.cut();
        relayed.delivered().await;
    }
    end(relayed, &topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_freezes_beyond_every_timeout_costs_nothing() {
    let localstack = Localstack::own().await;
    let topic = localstack.topic("frozen.fifo").await;
    let mut relayed = start(transport(&localstack, localstack.url()).await);
    relayed.commit(topic.name(), 1, 0);
    relayed.delivered().await;
    localstack.pause().await;
    relayed.commit(topic.name(), 1, 0);
    relayed.commit(topic.name(), 1, 0);
    relayed.noticed().await;
    localstack.unpause().await;
    relayed.delivered().await;
    assert!(relayed.stats().outages > 0);
    end(relayed, &topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_started_again_costs_nothing() {
    let localstack = Localstack::own().await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", localstack.port())).await.expect("a free port");
    let topic = localstack.topic("killed.fifo").await;
    let mut relayed = start(transport(&localstack, &localstack.url_by(proxy.addr().port())).await);
    relayed.commit(topic.name(), 1, 0);
    relayed.delivered().await;
    // Taken from the queue before it is forgotten.
    assert_eq!(topic.messages().await.len() as u64, relayed.committed());
    proxy.refuse();
    localstack.kill().await;
    relayed.commit(topic.name(), 1, 0);
    relayed.noticed().await;
    localstack.start().await;

    // It has forgotten its topics: that is said of the destination.
    let direct = transport(&localstack, localstack.url()).await;
    let gone = publish(&direct, &batch(1, &[sample(topic.name(), Some("k"), "x")])).await;
    assert!(matches!(&gone[0], Outcome::Destination(e) if e.contains("NotFound")), "{gone:?}");

    topic.create().await;
    proxy.heal();
    relayed.delivered().await;
    end(relayed, &topic).await;
}
