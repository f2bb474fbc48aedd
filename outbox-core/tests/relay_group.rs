//! Lanes: several relays over one log, each with topics and a transport of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use outbox_core::memory::{MemoryStore, MemoryTransport, SentMessage};
use outbox_core::{
    AcquireRequest, Acquired, Batch, FetchLimits, Lease, Message, Outcomes, Relay, RelayError, RelayGroup, Settlement,
    Store, StoreCapabilities, StoreError, StoreErrorKind, StoreRelay, Transport, TransportCapabilities, async_trait,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// A broker that may be away, or panic whatever it is given.
#[derive(Debug, Clone, Default)]
struct Lane {
    broker: MemoryTransport,
    away: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    takes: Duration,
    publishes: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for Lane {
    fn capabilities(&self) -> TransportCapabilities {
        self.broker.capabilities()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        self.publishes.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics.load(Ordering::Relaxed), "no transport should");
        if self.away.load(Ordering::Relaxed) {
            // As long as the relay waits.
            std::future::pending::<()>().await;
        }
        sleep(self.takes).await;
        self.broker.publish(batch, out).await;
    }
}

fn enqueue(store: &MemoryStore, from: usize, messages: usize) {
    let mut tx = store.begin();
    for i in from..from + messages {
        let topic = ["audit", "mail", "orders"][i % 3];
        tx.enqueue(Message::new(topic, "e").key(i / 3 % 10).text(i.to_string())).expect("valid");
    }
    tx.commit();
}

/// Topics that the lanes do not share, and a name each.
fn lanes(store: &MemoryStore, lanes: [&Lane; 3]) -> [StoreRelay; 3] {
    let topics = ["audit", "mail", "orders"];
    [0, 1, 2].map(|i| {
        let relay = StoreRelay::builder(topics[i], store.clone(), lanes[i].clone()).topics([topics[i]]);
        relay.build().expect("valid settings")
    })
}

fn group(relays: &[StoreRelay]) -> RelayGroup {
    relays.iter().cloned().fold(RelayGroup::new(), RelayGroup::with)
}

async fn until(what: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    let looks = async {
        while !what() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(600), looks).await.expect("never came");
    began.elapsed()
}

fn is_in_order(sent: &[SentMessage]) -> bool {
    let number = |m: &SentMessage| String::from_utf8_lossy(m.payload()).parse::<u64>().expect("a number");
    (0..10).all(|key| sent.iter().filter(|m| m.key() == Some(&key.to_string())).map(number).is_sorted())
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_one_lane_leaves_the_others_alone_and_the_lane_catches_up() {
    let store = MemoryStore::new();
    let (audit, mail, orders) = (Lane::default(), Lane::default(), Lane::default());
    mail.away.store(true, Ordering::Relaxed);
    let relays = lanes(&store, [&audit, &mail, &orders]);
    let [ours, mails, theirs] = [0, 1, 2].map(|i| relays[i].handle());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = group(&relays);
    let running = tokio::spawn(async move { running.run(async move { _ = stopped.await }).await });
    // An hour, in which the third delivers nothing, and the others everything at once.
    for minute in 1..=60 {
        enqueue(&store, (minute - 1) * 300, 300);
        let all = minute as u64 * 100;
        let took = until(|| ours.stats().delivered == all && theirs.stats().delivered == all).await;
        assert!(took < Duration::from_millis(1_100), "minute {minute}: {took:?}");
        sleep(Duration::from_secs(60) - took).await;
    }
    let (a, b, c) = (ours.stats(), mails.stats(), theirs.stats());
    assert_eq!((a.outages, c.outages, a.connected, c.connected), (0, 0, true, true), "each has a breaker of its own");
    assert_eq!((b.outages, b.connected, b.delivered, b.failed, b.parked), (1, false, 0, 0, 0));
    mail.away.store(false, Ordering::Relaxed);
    let took = until(|| mails.stats().delivered == 6_000).await;
    assert!(took < Duration::from_secs(30), "{took:?}");
    let mailed = mail.broker.take();
    assert!(mailed.len() == 6_000 && is_in_order(&mailed), "{}", mailed.len());
    _ = stop.send(());
    running.await.expect("no panic").expect("runs");
}

#[tokio::test(start_paused = true)]
async fn a_lane_whose_transport_always_panics_leaves_the_others_alone() {
    let store = MemoryStore::new();
    let (audit, mail, orders) = (Lane::default(), Lane::default(), Lane::default());
    mail.panics.store(true, Ordering::Relaxed);
    let relays = lanes(&store, [&audit, &mail, &orders]);
    let [ours, mails, theirs] = [0, 1, 2].map(|i| relays[i].handle());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = group(&relays);
    let running = tokio::spawn(async move { running.run(async move { _ = stopped.await }).await });
    for second in 1..=60 {
        enqueue(&store, (second - 1) * 30, 30);
        let all = second as u64 * 10;
        let took = until(|| ours.stats().delivered == all && theirs.stats().delivered == all).await;
        assert!(took < Duration::from_millis(500), "second {second}: {took:?}");
        sleep(Duration::from_secs(1)).await;
    }
    assert!(mail.publishes.load(Ordering::Relaxed) > 0 && mails.stats().delivered == 0);
    _ = stop.send(());
    running.await.expect("no panic").expect("runs");
}

/// A store whose fetches fail for good at some point.
#[derive(Debug, Clone)]
struct Broken(MemoryStore, Arc<AtomicBool>);

#[async_trait]
impl Store for Broken {
    fn capabilities(&self) -> StoreCapabilities {
        self.0.capabilities()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        self.0.acquire(request).await
    }

    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Schema, "fetch").with_detail("run outbox migrate"));
        }
        self.0.fetch(lease, limits).await
    }

    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        self.0.read(lease, seqs).await
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        self.0.settle(lease, settlement).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.0.release(lease).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_stops_one_lane_drains_the_others() {
    let (store, breaks) = (MemoryStore::new(), Arc::new(AtomicBool::new(false)));
    let slow = Lane { takes: Duration::from_secs(3), ..Lane::default() };
    let relays = lanes(&store, [&slow, &Lane::default(), &slow]);
    let broken = StoreRelay::builder("broken", Broken(store.clone(), breaks.clone()), MemoryTransport::new());
    let group = group(&relays).with(broken.topics(["nothing"]).build().expect("valid settings"));
    let running = tokio::spawn(async move { group.run(std::future::pending()).await });
    enqueue(&store, 0, 300);
    until(|| slow.publishes.load(Ordering::Relaxed) > 0).await;
    breaks.store(true, Ordering::Relaxed);
    let ended = running.await.expect("no panic");
    assert!(matches!(&ended, Err(RelayError::Store { relay, .. }) if relay == "broken"), "{ended:?}");
    // What was in flight was delivered and settled, and the leases were given up.
    let delivered = slow.broker.take().len();
    assert!(delivered > 0);
    let settled: u64 = [&relays[0], &relays[2]].iter().map(|relay| relay.handle().stats().delivered).sum();
    assert_eq!(settled, delivered as u64);
    for name in ["audit", "mail", "orders"] {
        let acquired = store.acquire(&AcquireRequest::new(name, 7)).await.expect("answers");
        assert!(matches!(acquired, Acquired::Yes(..)), "{name} is still held: {acquired:?}");
    }
}
