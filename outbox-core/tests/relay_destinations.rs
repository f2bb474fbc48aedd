//! A topic that the broker does not have holds its own messages, at no cost, and no others.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    AcquireRequest, Acquired, Batch, KeyOrder, Message, Observer, Outcomes, ParkedMessage, Relay, RelayEvent,
    RelayHandle, Store, StoreRelay, Transport, TransportCapabilities, async_trait,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// Some of its topics are missing.
#[derive(Debug)]
struct Broker {
    order: KeyOrder,
    /// From being asked to answering.
    takes: Duration,
    missing: Mutex<BTreeSet<String>>,
    publishes: Mutex<usize>,
    /// Of each topic, how many messages were handed over, and stored.
    handed: Mutex<HashMap<String, usize>>,
    stored: Mutex<HashMap<String, usize>>,
    /// Of each key, the latest number stored.
    latest: Mutex<HashMap<String, u64>>,
}

impl Broker {
    fn new(order: KeyOrder, missing: &[&str]) -> Arc<Self> {
        Self::slow(order, missing, Duration::ZERO)
    }

    fn slow(order: KeyOrder, missing: &[&str], takes: Duration) -> Arc<Self> {
        let missing = Mutex::new(missing.iter().map(ToString::to_string).collect());
        let (publishes, handed, stored, latest) = Default::default();
        Arc::new(Self { order, takes, missing, publishes, handed, stored, latest })
    }

    fn handed(&self, topic: &str) -> usize {
        self.handed.lock().unwrap().get(topic).copied().unwrap_or(0)
    }

    fn appears(&self, topic: &str) {
        assert!(self.missing.lock().unwrap().remove(topic));
    }

    fn stored(&self, topic: &str) -> usize {
        self.stored.lock().unwrap().get(topic).copied().unwrap_or(0)
    }

    /// Each key's messages come once and in order, whatever their topics.
    fn store(&self, topic: &str, key: &str, number: u64) {
        let before = self.latest.lock().unwrap().insert(key.to_owned(), number);
        assert!(key.is_empty() || before.is_none_or(|before| before < number), "{key}: {number} behind {before:?}");
        *self.stored.lock().unwrap().entry(topic.to_owned()).or_default() += 1;
    }
}

#[async_trait]
impl Transport for Broker {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(self.order)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        *self.publishes.lock().unwrap() += 1;
        let missing = self.missing.lock().unwrap().clone();
        for m in batch.iter() {
            *self.handed.lock().unwrap().entry(m.topic().to_owned()).or_default() += 1;
            if missing.contains(m.topic()) {
                continue;
            }
            let number = String::from_utf8_lossy(m.payload()).parse().expect("a number");
            self.store(m.topic(), m.key().unwrap_or_default(), number);
        }
        sleep(self.takes).await;
        for m in batch.iter() {
            if missing.contains(m.topic()) {
                out.destination(m, "no such topic");
            } else {
                out.delivered(m);
            }
        }
    }
}

#[derive(Debug, Default, Clone)]
struct Events(Arc<Mutex<Vec<RelayEvent>>>);

impl Observer for Events {
    fn on_event(&self, _relay: &str, event: &RelayEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Events {
    /// What was held and released, by topic.
    fn topics(&self) -> Vec<String> {
        let change = |event: &RelayEvent| match event {
            RelayEvent::DestinationHeld { topic, error } => Some(format!("{topic} held: {error}")),
            RelayEvent::DestinationReleased { topic } => Some(format!("{topic} released")),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(change).collect()
    }
}

struct Running {
    handle: RelayHandle,
    events: Events,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(store: &MemoryStore, broker: &Arc<Broker>) -> Self {
        let (events, (stop, stopped)) = (Events::default(), oneshot::channel::<()>());
        let relay = StoreRelay::builder("test", store.clone(), broker.clone()).observer(events.clone());
        let relay = relay.build().expect("valid settings");
        let handle = relay.handle();
        let task = tokio::spawn(async move {
            let stopped = async move { _ = stopped.await };
            relay.run(stopped).await.expect("runs");
        });
        Self { handle, events, stop, task }
    }

    async fn stop(self) {
        _ = self.stop.send(());
        self.task.await.expect("stops");
    }
}

/// Looks again while the paused clock moves on.
async fn until(what: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    let looks = async {
        while !what() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(600), looks).await.expect("never came");
    began.elapsed()
}

/// `topics` topics, each with its own keys unless `shared`; every message's text is its number.
fn enqueue(store: &MemoryStore, topics: usize, messages: usize, keys: usize, shared: bool) {
    let mut tx = store.begin();
    for i in 0..messages * topics {
        let topic = format!("t{}", i % topics);
        let key = i / topics % keys;
        let key = if shared { format!("k{key}") } else { format!("{topic}-{key}") };
        tx.enqueue(Message::new(topic, "e").key(key).text(i.to_string())).expect("valid");
    }
    tx.commit();
}

async fn parked(store: &MemoryStore) -> Vec<ParkedMessage> {
    let request = AcquireRequest::new("test", 77);
    let Acquired::Yes(lease, parked) = store.acquire(&request).await.expect("answers") else { panic!("is held") };
    store.release(&lease).await.expect("is released");
    parked
}

#[tokio::test(start_paused = true)]
async fn one_missing_topic_of_twenty_delays_no_other_and_costs_no_attempt() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let (store, broker) = (MemoryStore::new(), Broker::new(order, &["t7"]));
        enqueue(&store, 20, 1_000, 10, false);
        let relay = Running::start(&store, &broker);
        let others = || (0..20).filter(|t| *t != 7).map(|t| broker.stored(&format!("t{t}"))).sum::<usize>();
        let took = until(|| others() == 19_000).await;
        assert!(took < Duration::from_millis(500), "the others were delayed: {took:?}");
        sleep(Duration::from_secs(60)).await;
        // What was on its way when the first failed, and then one in up to 5 s.
        let handed = broker.handed("t7");
        assert!((10..=60).contains(&handed), "{handed}");
        let stats = relay.handle.stats();
        assert_eq!((stats.destinations_held, stats.failed, stats.dead, stats.outages), (1, 0, 0, 0), "{stats:?}");
        assert_eq!((stats.parked, broker.stored("t7")), (1_000, 0));
        assert_eq!(relay.events.topics(), ["t7 held: no such topic"]);
        relay.stop().await;
        let parked = parked(&store).await;
        assert_eq!((parked.len(), parked.iter().filter(|p| p.attempts > 0).count()), (1_000, 0));
        assert_eq!(parked[0].last_error.as_deref(), Some("no such topic"));
        assert!(parked.iter().all(|p| p.due_in <= Duration::from_secs(5)));
        // Another process goes on, and then the topic appears.
        let relay = Running::start(&store, &broker);
        until(|| relay.handle.stats().destinations_held == 1).await;
        broker.appears("t7");
        let before = *broker.publishes.lock().unwrap();
        let took = until(|| broker.stored("t7") == 1_000 && relay.handle.stats().parked == 0).await;
        assert!(took < Duration::from_secs(6), "{took:?}");
        assert_eq!(relay.handle.stats().destinations_held, 0);
        // All keys at once, and not one message after the other: of a key one at a time, or up to 64.
        let publishes = *broker.publishes.lock().unwrap() - before;
        let most = if order == KeyOrder::Gapless { 10 } else { 300 };
        assert!(publishes <= most, "{publishes} publishes");
        assert_eq!(relay.events.topics(), ["t7 held: no such topic", "t7 released"]);
        assert_eq!(others(), 19_000, "nothing came twice");
        relay.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_when_its_topic_fails_is_not_tried() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let (store, broker) = (MemoryStore::new(), Broker::slow(order, &["t1"], Duration::from_millis(20)));
        enqueue(&store, 2, 5_000, 5_000, false);
        let relay = Running::start(&store, &broker);
        until(|| relay.handle.stats().parked == 5_000 && broker.stored("t0") == 5_000).await;
        // Eight publishes of 500 were under way by then.
        let handed = broker.handed("t1");
        assert!((2_000..=2_010).contains(&handed), "{handed}");
        relay.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_takeover_a_topic_that_was_held_is_probed_with_one_message() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let (store, broker) = (MemoryStore::new(), Broker::new(order, &["t0", "t1"]));
        enqueue(&store, 3, 2_000, 2_000, false);
        let relay = Running::start(&store, &broker);
        until(|| relay.handle.stats().parked == 4_000).await;
        sleep(Duration::from_secs(10)).await;
        relay.stop().await;
        let before = (broker.handed("t0"), broker.handed("t1"));
        let relay = Running::start(&store, &broker);
        sleep(Duration::from_secs(60)).await;
        let probes = (broker.handed("t0") - before.0, broker.handed("t1") - before.1);
        assert!((8..=30).contains(&probes.0) && (8..=30).contains(&probes.1), "{probes:?}");
        broker.appears("t0");
        until(|| broker.stored("t0") == 2_000).await;
        assert_eq!(relay.handle.stats().destinations_held, 1);
        broker.appears("t1");
        until(|| broker.stored("t1") == 2_000 && relay.handle.stats().parked == 0).await;
        assert_eq!(relay.handle.stats().failed, 0);
        let events = relay.events.topics();
        assert_eq!(events.len(), 4, "each was held and released once: {events:?}");
        relay.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_two_topics_waits_as_a_whole() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let (store, broker) = (MemoryStore::new(), Broker::new(order, &["t1"]));
        let relay = Running::start(&store, &broker);
        // The topic is known to be missing before the first message of a key comes.
        let mut tx = store.begin();
        tx.enqueue(Message::new("t1", "e").text("0")).expect("valid");
        tx.commit();
        until(|| relay.handle.stats().destinations_held == 1).await;
        enqueue(&store, 2, 500, 5, true);
        until(|| relay.handle.stats().parked == 996).await;
        sleep(Duration::from_secs(20)).await;
        // Of each key only what stands before its first message of the missing topic.
        assert_eq!((broker.stored("t0"), broker.stored("t1")), (5, 0));
        assert!(broker.handed("t1") < 20, "{}", broker.handed("t1"));
        broker.appears("t1");
        until(|| relay.handle.stats().parked == 0).await;
        assert_eq!((broker.stored("t0"), broker.stored("t1")), (500, 501));
        relay.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn slow_probes_of_many_topics_take_one_place_of_the_publishes() {
    let (topics, takes) = (30, Duration::from_secs(8));
    let names: Vec<String> = (1..topics).map(|t| format!("t{t}")).collect();
    let missing: Vec<&str> = names.iter().map(String::as_str).collect();
    // Whoever asks for a missing topic waits for 8 s.
    #[derive(Debug)]
    struct SlowWhereMissing(Arc<Broker>);
    #[async_trait]
    impl Transport for SlowWhereMissing {
        fn capabilities(&self) -> TransportCapabilities {
            self.0.capabilities()
        }

        async fn publish(&self, batch: Batch, out: &Outcomes) {
            if batch.iter().any(|m| m.topic() != "t0") {
                sleep(self.0.takes).await;
            }
            for m in batch.iter() {
                *self.0.handed.lock().unwrap().entry(m.topic().to_owned()).or_default() += 1;
                if m.topic() == "t0" { out.delivered(m) } else { out.destination(m, "no such topic") }
            }
        }
    }
    let (store, broker) = (MemoryStore::new(), Broker::slow(KeyOrder::OneInFlight, &missing, takes));
    let relay = StoreRelay::builder("test", store.clone(), SlowWhereMissing(broker.clone()));
    let relay = relay.build().expect("valid settings");
    let handle = relay.handle();
    let task = tokio::spawn(async move { relay.run(std::future::pending()).await });
    enqueue(&store, topics, 20, 20, false);
    until(|| handle.stats().destinations_held == topics - 1).await;
    for _ in 0..100 {
        let mut tx = store.begin();
        tx.enqueue(Message::new("t0", "e").text("0")).expect("valid");
        tx.commit();
        let before = broker.handed("t0");
        let took = until(|| broker.handed("t0") > before).await;
        assert!(took < Duration::from_millis(50), "{took:?}");
        sleep(Duration::from_millis(400)).await;
    }
    task.abort();
}
