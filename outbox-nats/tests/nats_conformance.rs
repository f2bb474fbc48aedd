//! The published suite against real servers, by a proxy where connections are to fail.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context, stream};
use outbox_conformance::transport::{Faults, Stored, TransportHarness};
use outbox_core::Message;
use outbox_nats::{NatsConfig, NatsTransport};
use testkit::{Nats, Proxy};
use tokio::sync::Mutex;

mod nats_2_15 {
    use super::{Harness, Newest};
    outbox_conformance::transport_suite!(Harness<Newest>);
}

mod nats_2_10 {
    use super::{Harness, Oldest};
    outbox_conformance::transport_suite!(Harness<Oldest>);
}

mod atomic_batches {
    use super::{Atomic, Harness};
    outbox_conformance::transport_suite!(Harness<Atomic>);
}

mod atomic_batches_on_2_10 {
    use super::{AtomicOnOldest, Harness};
    outbox_conformance::transport_suite!(Harness<AtomicOnOldest>);
}

/// What is tested: which server, and how it is used.
trait Kind: 'static {
    async fn shared() -> Nats;

    fn config(config: NatsConfig) -> NatsConfig {
        config
    }

    const ATOMIC: bool = false;
}

struct Newest;

impl Kind for Newest {
    async fn shared() -> Nats {
        Nats::shared().await
    }
}

struct Oldest;

impl Kind for Oldest {
    async fn shared() -> Nats {
        Nats::shared_210().await
    }
}

struct Atomic;

impl Kind for Atomic {
    async fn shared() -> Nats {
        Nats::shared().await
    }

    fn config(config: NatsConfig) -> NatsConfig {
        config.atomic_batches(true)
    }

    const ATOMIC: bool = true;
}

/// Where the server stores no batches, and says nothing of it.
struct AtomicOnOldest;

impl Kind for AtomicOnOldest {
    async fn shared() -> Nats {
        Nats::shared_210().await
    }

    fn config(config: NatsConfig) -> NatsConfig {
        config.atomic_batches(true)
    }

    const ATOMIC: bool = true;
}

struct Harness<K> {
    nats: Nats,
    /// By which the transport connects.
    url: String,
    /// Past all faults.
    jetstream: Context,
    /// Of the stream, and the first token of its subjects.
    name: String,
    read: Mutex<Vec<Stored>>,
    kind: PhantomData<K>,
}

impl<K: Kind> Harness<K> {
    async fn with(nats: Nats) -> Self {
        let client = async_nats::connect(nats.url()).await.expect("a server");
        let name = client.new_inbox().replace("_INBOX.", "t");
        let harness = Self {
            url: nats.url().to_owned(),
            nats,
            jetstream: jetstream::new(client),
            read: Mutex::default(),
            kind: PhantomData,
            name: name.clone(),
        };
        harness.stream(stream::Config { subjects: vec![format!("{name}.>")], name, ..Default::default() }).await;
        harness
    }

    async fn stream(&self, config: stream::Config) {
        // The shared server is to forget it some time.
        let max_age = Duration::from_secs(900);
        let config = stream::Config { allow_atomic_publish: K::ATOMIC, max_age, ..config };
        self.jetstream.create_stream(config).await.expect("a stream");
    }
}

impl<K: Kind> TransportHarness for Harness<K> {
    type Transport = NatsTransport;

    async fn start() -> Self {
        Self::with(K::shared().await).await
    }

    async fn transport(&self) -> NatsTransport {
        let config = NatsConfig::new(&self.url).ack_timeout(Duration::from_secs(2));
        NatsTransport::connect(K::config(config)).expect("valid settings")
    }

    /// The stream only grows, so each message is read once.
    async fn stored(&self) -> Vec<Stored> {
        let mut read = self.read.lock().await;
        let stream = self.jetstream.get_stream(&self.name).await.expect("the stream");
        for sequence in read.len() as u64 + 1..=stream.cached_info().state.last_sequence {
            let m = stream.get_raw_message(sequence).await.expect("a message");
            read.push(stored(&m.subject, &m.headers, &m.payload));
        }
        read.clone()
    }

    async fn topic(&self, name: &str) -> String {
        let topic = format!("{}.{name}", self.name);
        let length = if name.len() > 40 { name.len() } else { topic.len() };
        topic[..length].to_owned()
    }

    async fn faults(&mut self) -> Option<Arc<dyn Faults>> {
        // The way is broken, not the server: the shared one will do.
        let proxy = Proxy::start(format!("127.0.0.1:{}", self.nats.port())).await.expect("a free port");
        self.url = self.nats.url_by(proxy.addr().port());
        Some(Arc::new(proxy))
    }

    async fn poison(&self) -> Option<Message> {
        let name = format!("{}-small", self.name);
        let subjects = vec![name.clone()];
        self.stream(stream::Config { name: name.clone(), subjects, max_message_size: 10_000, ..Default::default() })
            .await;
        Some(Message::new(name, "order.created").payload(vec![b'x'; 20_000]))
    }

    async fn nowhere(&self) -> Option<String> {
        Some("never-created".into())
    }
}

fn stored(subject: &str, headers: &HeaderMap, payload: &[u8]) -> Stored {
    let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    Stored {
        id: header("Nats-Msg-Id").unwrap_or_default(),
        topic: subject.to_owned(),
        key: header("message-key"),
        event_type: header("event-type").unwrap_or_default(),
        payload: payload.to_vec(),
        content_type: header("content-type"),
        headers: headers
            .iter()
            .flat_map(|(name, values)| values.iter().map(|value| (name.to_string(), value.to_string())))
            .collect(),
    }
}
