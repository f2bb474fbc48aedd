//! A stream of a test's own, and a relay to it with a ledger of what must arrive.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context, stream};
use outbox_conformance::{Expected, Ledger};
use outbox_core::memory::MemoryStore;
use outbox_core::transport::Outcome;
use outbox_core::{
    Batch, BatchBuilder, Message, Outcomes, Relay, RelayError, RelayHandle, RelayStats, Row, StoreRelay, Transport,
};
use outbox_nats::{NatsConfig, NatsTransport};
use testkit::{Nats, eventually};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const SOON: Duration = Duration::from_secs(30);
const RELAY: &str = "to-nats";

pub(crate) struct Rig {
    pub(crate) nats: Nats,
    pub(crate) jetstream: Context,
    /// Of the stream, and the first token of its subjects.
    pub(crate) name: String,
}

pub(crate) struct Record {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Vec<u8>,
}

impl Record {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

impl Rig {
    pub(crate) async fn shared(config: stream::Config) -> Self {
        Self::with(Nats::shared().await, config).await
    }

    pub(crate) async fn own(config: stream::Config) -> Self {
        Self::with(Nats::own().await, config).await
    }

    async fn with(nats: Nats, config: stream::Config) -> Self {
        let client = async_nats::connect(nats.url()).await.expect("a server");
        let name = client.new_inbox().replace("_INBOX.", "t");
        let rig = Self { nats, jetstream: jetstream::new(client), name };
        let created = rig.jetstream.create_stream(rig.named(config)).await;
        created.expect("a stream");
        rig
    }

    /// The settings with the name and the subjects of this stream.
    pub(crate) fn named(&self, config: stream::Config) -> stream::Config {
        stream::Config { name: self.name.clone(), subjects: vec![format!("{}.>", self.name)], ..config }
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    pub(crate) fn config(&self) -> NatsConfig {
        NatsConfig::new(self.nats.url()).ack_timeout(Duration::from_secs(1))
    }

    pub(crate) fn transport(&self) -> NatsTransport {
        NatsTransport::connect(self.config()).expect("valid settings")
    }

    /// What the stream has, in its order.
    pub(crate) async fn stored(&self) -> Vec<Record> {
        let stream = self.jetstream.get_stream(&self.name).await.expect("the stream");
        let state = &stream.cached_info().state;
        let mut records = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            let m = stream.get_raw_message(sequence).await.expect("a message");
            let payload = m.payload.to_vec();
            records.push(Record { subject: m.subject.to_string(), headers: m.headers, payload });
        }
        records
    }
}

/// What a message is made of, in tests.
#[derive(Default)]
pub(crate) struct Sample<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) payload: Vec<u8>,
    pub(crate) headers: Option<&'a str>,
}

/// Messages with the ids `first`, `first + 1`, ...
pub(crate) fn batch(first: i64, samples: &[Sample<'_>]) -> Batch {
    let mut batch = BatchBuilder::new();
    for (seq, s) in (first..).zip(samples) {
        batch.push(&Row {
            seq,
            id: seq as u128,
            created_at: 0,
            topic: s.topic,
            key: s.key,
            event_type: "order.created",
            payload: &s.payload,
            content_type: Some("text/plain"),
            headers: s.headers,
        });
    }
    batch.finish()
}

/// Numbered payloads under one key.
pub(crate) fn numbers(topic: &str, range: std::ops::Range<i64>) -> Batch {
    let sample = |n: i64| Sample { topic, key: Some("k"), payload: n.to_string().into_bytes(), headers: None };
    batch(range.start, &range.map(sample).collect::<Vec<_>>())
}

/// Publishes as the relay does: within a deadline, after which the future is dropped and the outcomes are closed.
pub(crate) async fn publish(transport: &NatsTransport, batch: &Batch, deadline: Duration) -> Vec<Outcome> {
    let out = Outcomes::new(batch.len());
    _ = tokio::time::timeout(deadline, transport.publish(batch.clone(), &out)).await;
    out.close();
    (0..out.len()).map(|i| out.get(i)).collect()
}

/// A relay from a store in memory, with ten keys.
pub(crate) struct Relayed {
    store: MemoryStore,
    ledger: Ledger,
    handle: RelayHandle,
    committed: u64,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RelayError>>,
}

impl Relayed {
    pub(crate) fn start(config: NatsConfig) -> Self {
        let transport = NatsTransport::connect(config).expect("valid settings");
        let store = MemoryStore::new();
        let relay = StoreRelay::builder(RELAY, store.clone(), transport)
            .publish_deadline(Duration::from_secs(3))
            .lease(Duration::from_secs(10))
            .outage(Duration::from_millis(20), Duration::from_millis(200))
            .poll(Duration::from_millis(5), Duration::from_millis(20))
            .build()
            .expect("valid settings");
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = relay.handle();
        let task = tokio::spawn(async move { relay.run(async move { _ = stopped.await }).await });
        Self { store, ledger: Ledger::new(), handle, committed: 0, stop, task }
    }

    /// So many messages of each key, in one transaction.
    pub(crate) fn commit(&mut self, topic: &str, of_each: u64) {
        let mut tx = self.store.begin();
        for order in self.committed..self.committed + of_each {
            for key in (0..10).map(|key| format!("k{key}")) {
                let payload = format!("{key}/{order}");
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

    /// Waits until so many further messages, or everything that was committed, are acknowledged.
    pub(crate) async fn delivered(&self, messages: u64) {
        let until = (self.stats().delivered + messages).min(self.committed * 10);
        eventually("everything is delivered", SOON, async || self.stats().delivered >= until).await;
    }

    /// Waits for an outage, and for some more tries.
    pub(crate) async fn noticed(&self) {
        eventually("the outage is noticed", SOON, async || self.stats().outages >= 1 && !self.stats().connected).await;
    }

    /// An outage costs no message, and attempts only where something else went through.
    #[track_caller]
    pub(crate) fn assert_nothing_was_given_up(&self, attempts: u64) {
        let stats = self.stats();
        assert!(stats.failed <= attempts && stats.dead == 0 && stats.parked == 0, "{stats:?}");
        assert_eq!(self.store.dead_letters(RELAY).len(), 0);
    }

    /// Stops, and judges what the stream has: nothing twice, within the window of deduplication.
    pub(crate) async fn end(self, rig: &Rig) {
        _ = self.stop.send(());
        self.task.await.expect("no panic").expect("a clean end");
        for record in rig.stored().await {
            let id = record.header("Nats-Msg-Id").expect("an id");
            self.ledger.received(id, record.header("message-key"), &record.payload);
        }
        let verdict = self.ledger.check();
        println!("{verdict}");
        verdict.assert_clean(0);
    }
}
