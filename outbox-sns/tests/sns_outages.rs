//! Outages under a relay: LocalStack frozen, killed, cut off. Nothing is lost, and nothing is an attempt.

use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::transport::Outcome;
use outbox_core::{Message, Relay, RelayHandle, StoreRelay};
use outbox_sns::{SnsConfig, SnsTransport};
use support::{Sample, batch, publish};
use testkit::{Localstack, Proxy, SnsTopic, eventually};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

mod support;

const SOON: Duration = Duration::from_secs(60);

async fn transport(localstack: &Localstack, url: &str) -> SnsTransport {
    let client = aws_sdk_sns::Client::new(&localstack.settings().await);
    let config = SnsConfig::new(Localstack::ARN_PREFIX).endpoint(url);
    let config = config.attempt_timeout(Duration::from_secs(1)).give_up_after(Duration::from_secs(2));
    SnsTransport::with_client(config, client).expect("valid settings")
}

struct Running {
    store: MemoryStore,
    handle: RelayHandle,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
    sent: usize,
}

impl Running {
    fn start(transport: SnsTransport) -> Self {
        let store = MemoryStore::new();
        let relay = StoreRelay::builder("sns", store.clone(), transport)
            .publish_deadline(Duration::from_secs(3))
            .outage(Duration::from_millis(20), Duration::from_millis(100))
            .poll(Duration::from_millis(5), Duration::from_millis(20))
            .build()
            .expect("valid settings");
        let (handle, (stop, stopped)) = (relay.handle(), oneshot::channel::<()>());
        let ended = tokio::spawn(async move {
            relay.run(async { _ = stopped.await }).await.expect("a memory store does not fail");
        });
        Self { store, handle, stop, ended, sent: 0 }
    }

    /// One message for each of 40 keys, numbered by rounds.
    fn round(&mut self, topic: &SnsTopic) {
        let mut tx = self.store.begin();
        for key in 0..40 {
            let text = format!("{}", self.sent / 40);
            tx.enqueue(Message::new(topic.name(), "e").key(format!("k{key}")).text(text)).expect("valid");
        }
        tx.commit();
        self.sent += 40;
    }

    async fn delivered(&self) {
        let all = async || self.handle.stats().delivered == self.sent as u64;
        eventually(&format!("{} messages are delivered", self.sent), SOON, all).await;
    }

    async fn outage(&self) {
        eventually("the outage is noticed", SOON, async || !self.handle.stats().connected).await;
    }

    /// Everything is there once, in order, and no message was blamed.
    async fn end(self, topic: &SnsTopic) {
        let stats = self.handle.stats();
        assert_eq!((stats.failed, stats.dead, stats.parked), (0, 0, 0), "{stats:?}");
        assert!(self.store.dead_letters("sns").is_empty());
        self.stop.send(()).expect("it runs");
        self.ended.await.expect("no panic");
        let stored = topic.messages().await;
        assert_eq!(stored.len(), self.sent, "once each: sent again within the window of deduplication");
        for key in 0..40 {
            let key = format!("k{key}");
            let of_key = stored.iter().filter(|m| m.attributes["message-key"] == key);
            let seen: Vec<usize> = of_key.map(|m| m.body.parse().expect("a number")).collect();
            assert_eq!(seen, (0..self.sent / 40).collect::<Vec<_>>(), "{key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_lost_again_and_again_cost_nothing() {
    let localstack = Localstack::shared().await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", localstack.port())).await.expect("a free port");
    let topic = localstack.topic("replies.fifo").await;
    let mut running = Running::start(transport(&localstack, &localstack.url_by(proxy.addr().port())).await);
    running.round(&topic);
    running.delivered().await;
    for _ in 0..5 {
        proxy.drop_replies();
        running.round(&topic);
        // After the requests, before the replies.
        eventually("it is stored", SOON, async || topic.messages().await.len() == running.sent).await;
        assert!(running.handle.stats().delivered < running.sent as u64, "every reply was lost");
        proxy.heal();
        running.delivered().await;
        running.round(&topic);
        proxy.cut();
        running.delivered().await;
    }
    running.end(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_freezes_beyond_every_timeout_costs_nothing() {
    let localstack = Localstack::own().await;
    let topic = localstack.topic("frozen.fifo").await;
    let mut running = Running::start(transport(&localstack, localstack.url()).await);
    running.round(&topic);
    running.delivered().await;
    localstack.pause().await;
    running.round(&topic);
    running.round(&topic);
    running.outage().await;
    localstack.unpause().await;
    running.delivered().await;
    assert!(running.handle.stats().outages > 0);
    running.end(&topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_started_again_costs_nothing() {
    let localstack = Localstack::own().await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", localstack.port())).await.expect("a free port");
    let topic = localstack.topic("killed.fifo").await;
    let mut running = Running::start(transport(&localstack, &localstack.url_by(proxy.addr().port())).await);
    running.round(&topic);
    running.delivered().await;
    // Taken from the queue before it is forgotten.
    assert_eq!(topic.messages().await.len(), running.sent);
    proxy.refuse();
    localstack.kill().await;
    running.round(&topic);
    running.outage().await;
    localstack.start().await;

    // It has forgotten its topics: that is said of the destination.
    let direct = transport(&localstack, localstack.url()).await;
    let gone = publish(&direct, &batch(1, &[Sample::new(topic.name(), Some("k"), "x")])).await;
    assert!(matches!(&gone[0], Outcome::Destination(e) if e.contains("NotFound")), "{gone:?}");

    topic.create().await;
    proxy.heal();
    running.delivered().await;
    running.end(&topic).await;
}
