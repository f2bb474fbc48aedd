//! A relay from a store in memory to Kafka, with a ledger of what must arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_conformance::{Expected, Ledger};
use outbox_core::memory::MemoryStore;
use outbox_core::{
    Batch, BoxError, Finding, Message, Outcomes, Relay, RelayError, RelayHandle, RelayStats, StoreRelay, Transport,
    TransportCapabilities, async_trait,
};
use outbox_kafka::{KafkaConfig, KafkaTransport};
use testkit::{Kafka, eventually};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const DEADLINE: Duration = Duration::from_secs(1);
const RELAY: &str = "to-kafka";
/// After an outage the relay's own pauses come on top.
const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Relayed {
    pub(crate) store: MemoryStore,
    ledger: Ledger,
    handle: RelayHandle,
    publishes: Arc<AtomicUsize>,
    committed: u64,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RelayError>>,
}

/// Counts how often it was tried.
#[derive(Debug)]
struct Counted(KafkaTransport, Arc<AtomicUsize>);

#[async_trait]
impl Transport for Counted {
    fn capabilities(&self) -> TransportCapabilities {
        self.0.capabilities()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        self.1.fetch_add(1, Ordering::AcqRel);
        self.0.publish(batch, out).await;
    }

    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        self.0.check(topics).await
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.0.close().await
    }
}

impl Relayed {
    pub(crate) fn start(kafka: &Kafka) -> Self {
        let transport = KafkaTransport::connect(KafkaConfig::new(kafka.bootstrap())).expect("valid settings");
        let (store, publishes) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
        let relay = StoreRelay::builder(RELAY, store.clone(), Counted(transport, publishes.clone()))
            .publish_deadline(DEADLINE)
            .lease(DEADLINE * 5)
            .outage(Duration::from_millis(20), Duration::from_millis(200))
            .poll(Duration::from_millis(5), Duration::from_millis(20))
            .build()
            .expect("valid settings");
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = relay.handle();
        let task = tokio::spawn(async move { relay.run(async move { _ = stopped.await }).await });
        Self { store, ledger: Ledger::new(), handle, publishes, committed: 0, stop, task }
    }

    /// So many messages of each of ten keys, in one transaction, padded to so many bytes.
    pub(crate) fn commit(&mut self, topic: &str, of_each: u64, bytes: usize) {
        let mut tx = self.store.begin();
        for order in self.committed..self.committed + of_each {
            for key in (0..10).map(|key| format!("k{key}")) {
                let payload = format!("{key}/{order}/{}", "x".repeat(bytes));
                let m = Message::new(topic, "order.created").key(&key).text(&payload);
                self.ledger.committed(&Expected::new(m.id, payload.as_bytes()).key(key).order(order));
                tx.enqueue(m).expect("a valid message");
            }
        }
        tx.commit();
        self.committed += of_each;
    }

    pub(crate) fn stats(&self) -> RelayStats {
        self.handle.stats()
    }

    /// Waits until everything that was committed is acknowledged.
    pub(crate) async fn delivered(&self) {
        let all = self.committed * 10;
        eventually("everything is delivered", SOON, async || self.stats().delivered >= all).await;
    }

    /// Waits for so many further tries.
    pub(crate) async fn tried(&self, times: usize) {
        let until = self.publishes.load(Ordering::Acquire) + times;
        eventually("it is tried", SOON, async || self.publishes.load(Ordering::Acquire) >= until).await;
    }

    /// An outage costs neither an attempt nor a message (G5).
    #[track_caller]
    pub(crate) fn assert_nothing_was_given_up(&self, attempts: u64) {
        let stats = self.stats();
        assert!(stats.failed <= attempts && stats.dead == 0 && stats.parked == 0, "{stats:?}");
        assert_eq!(self.store.dead_letters(RELAY).len(), 0);
    }

    /// Stops, and judges what the topic has.
    pub(crate) async fn end(self, kafka: &Kafka, topic: &str, max_duplicates: usize) {
        _ = self.stop.send(());
        self.task.await.expect("no panic").expect("a clean end");
        for record in kafka.consume(topic).await {
            self.ledger.received(record.header("message-id").expect("an id"), record.key(), &record.payload);
        }
        let verdict = self.ledger.check();
        println!("{verdict}");
        verdict.assert_clean(max_duplicates);
    }
}
