use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_conformance::{Expected, Ledger};
use outbox_core::memory::MemoryStore;
use outbox_core::{
    Batch, BoxError, Finding, Message, Outcomes, Relay, RelayError, RelayHandle, RelayStats, StoreRelay, Transport,
    TransportCapabilities, async_trait,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::eventually;

const RELAY: &str = "relayed";
const KEYS: u64 = 10;
/// After an outage the relay's own pauses come on top.
const SOON: Duration = Duration::from_secs(60);

/// A relay from a store in memory to a real broker, with a ledger of what must arrive. It tries often, and polls often.
#[derive(Debug)]
pub struct Relayed {
    store: MemoryStore,
    ledger: Ledger,
    handle: RelayHandle,
    publishes: Arc<AtomicUsize>,
    committed: u64,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RelayError>>,
}

/// A copy of a message that a broker has stored.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests build it")]
pub struct Copy {
    /// The message id, as text.
    pub id: String,
    /// The key.
    pub key: Option<String>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Relayed {
    /// Starts the relay, with this publish deadline.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn start(transport: impl Transport, publish_deadline: Duration) -> Self {
        let (store, publishes) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
        let relay = StoreRelay::builder(RELAY, store.clone(), Counted(transport, publishes.clone()))
            .publish_deadline(publish_deadline)
            .lease(publish_deadline * 5)
            .outage(Duration::from_millis(20), Duration::from_millis(200))
            .poll(Duration::from_millis(5), Duration::from_millis(20))
            .build()
            .expect("valid settings");
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = relay.handle();
        let task = tokio::spawn(async move { relay.run(async move { drop(stopped.await) }).await });
        Self { store, ledger: Ledger::new(), handle, publishes, committed: 0, stop, task }
    }

    /// So many messages of each of ten keys, in one transaction, padded by so many bytes.
    ///
    /// # Panics
    /// For what the store does not take.
    pub fn commit(&mut self, topic: &str, of_each: u64, bytes: usize) {
        self.commit_keys("k", topic, of_each, bytes);
    }

    /// The same with other keys for each prefix: what waits for one topic holds no other one up.
    ///
    /// # Panics
    /// Like [`commit`](Self::commit).
    pub fn commit_keys(&mut self, prefix: &str, topic: &str, of_each: u64, bytes: usize) {
        let mut tx = self.store.begin();
        for order in self.committed..self.committed + of_each {
            for key in (0..KEYS).map(|key| format!("{prefix}{key}")) {
                let payload = format!("{key}/{order}/{}", "x".repeat(bytes));
                let m = Message::new(topic, "order.created").key(&key).text(&payload);
                self.ledger.committed(&Expected::new(m.id, payload.as_bytes()).key(key).order(order));
                tx.enqueue(m).expect("a valid message");
            }
        }
        tx.commit();
        self.committed += of_each;
    }

    /// How many messages were committed.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed * KEYS
    }

    /// The relay's figures.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        self.handle.stats()
    }

    /// Waits until everything that was committed is acknowledged.
    pub async fn delivered(&self) {
        self.further_delivered(u64::MAX / 2).await;
    }

    /// Waits until so many further messages are acknowledged, or everything is.
    pub async fn further_delivered(&self, messages: u64) {
        let until = (self.stats().delivered + messages).min(self.committed());
        eventually("everything is delivered", SOON, async || self.stats().delivered >= until).await;
    }

    /// Waits for so many further tries.
    pub async fn tried(&self, times: usize) {
        let until = self.publishes.load(Ordering::Acquire) + times;
        eventually("it is tried", SOON, async || self.publishes.load(Ordering::Acquire) >= until).await;
    }

    /// Waits until the relay knows of an outage.
    pub async fn noticed(&self) {
        eventually("the outage is noticed", SOON, async || self.stats().outages >= 1 && !self.stats().connected).await;
    }

    /// Waits until everything is delivered but what is of so many topics that the broker does not take.
    pub async fn topics_held(&self, topics: usize) {
        let held = async || {
            let stats = self.stats();
            stats.destinations_held == topics && stats.delivered + stats.parked as u64 == self.committed()
        };
        eventually("the topics are held", SOON, held).await;
    }

    /// An outage costs no message, and attempts only where something else of a batch went through (G5).
    ///
    /// # Panics
    /// If it was otherwise.
    #[track_caller]
    pub fn assert_nothing_was_given_up(&self, attempts: u64) {
        let stats = self.stats();
        assert!(stats.failed <= attempts && stats.dead == 0 && stats.parked == 0, "{stats:?}");
        assert_eq!(self.store.dead_letters(RELAY).len(), 0);
    }

    /// Stops, and judges what the broker has; the copies of a key in their order.
    ///
    /// # Panics
    /// If anything is lost, invented, inverted or changed, or came more than so many times too often.
    pub async fn end(self, stored: impl AsyncFnOnce() -> Vec<Copy>, max_duplicates: usize) {
        self.stop.send(()).expect("the relay runs");
        self.task.await.expect("no panic").expect("a clean end");
        for copy in stored().await {
            self.ledger.received(copy.id, copy.key.as_deref(), &copy.payload);
        }
        let verdict = self.ledger.check();
        println!("{verdict}");
        verdict.assert_clean(max_duplicates);
    }
}

/// Counts how often it was tried.
#[derive(Debug)]
struct Counted<T>(T, Arc<AtomicUsize>);

#[async_trait]
impl<T: Transport> Transport for Counted<T> {
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
