//! A stream of a test's own.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context, stream};
use outbox_nats::{NatsConfig, NatsTransport};
use testkit::{Copy, Nats, Relayed};

pub(crate) const SOON: Duration = Duration::from_secs(30);

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
        // The shared server is to forget it some time.
        let max_age = Duration::from_secs(900);
        stream::Config { name: self.name.clone(), subjects: vec![format!("{}.>", self.name)], max_age, ..config }
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

    pub(crate) async fn last_sequence(&self) -> u64 {
        self.jetstream.get_stream(&self.name).await.expect("the stream").cached_info().state.last_sequence
    }

    /// Stops the relay, and judges what the stream has: nothing twice, within the window of deduplication.
    pub(crate) async fn end(&self, relayed: Relayed) {
        Self::end_of(&[self], relayed).await;
    }

    /// The same of several streams.
    pub(crate) async fn end_of(rigs: &[&Self], relayed: Relayed) {
        let copy = |record: Record| Copy {
            id: record.header("Nats-Msg-Id").expect("an id").to_owned(),
            key: record.header("message-key").map(str::to_owned),
            payload: record.payload,
        };
        let stored = async || {
            let mut all = Vec::new();
            for rig in rigs {
                all.extend(rig.stored().await.into_iter().map(copy));
            }
            all
        };
        relayed.end(stored, 0).await;
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

/// A relay to this server.
pub(crate) fn relayed(config: NatsConfig) -> Relayed {
    Relayed::start(NatsTransport::connect(config).expect("valid settings"), Duration::from_secs(3))
}
