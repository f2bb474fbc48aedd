use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::{self, consumer, stream};
use futures_util::StreamExt;
use outbox_core::{Transport, async_trait};
use outbox_nats::{NatsConfig, NatsTransport};
use stores::Delivery;
use testkit::Nats;
use tokio::time::timeout;

use super::{Broker, LARGEST};

/// What is counted in a stream arrives within this time.
const SOON: Duration = Duration::from_secs(30);

/// NATS with JetStream, killed and started again.
#[derive(Debug)]
pub struct NatsBroker {
    name: &'static str,
    server: Nats,
}

impl NatsBroker {
    /// A container of its own, of version 2.15.
    pub async fn start() -> Self {
        Self { name: "NATS 2.15", server: Nats::own().await }
    }

    /// The same of version 2.10.
    pub async fn start_210() -> Self {
        Self { name: "NATS 2.10", server: Nats::own_210().await }
    }

    /// The server itself.
    #[must_use]
    pub fn server(&self) -> &Nats {
        &self.server
    }

    async fn jetstream(&self) -> anyhow::Result<jetstream::Context> {
        Ok(jetstream::new(async_nats::connect(self.server.url()).await?))
    }
}

#[async_trait]
impl Broker for NatsBroker {
    fn name(&self) -> &'static str {
        self.name
    }

    fn fault(&self) -> &'static str {
        "killed"
    }

    async fn place(&self, name: &str) -> anyhow::Result<String> {
        let config = stream::Config {
            name: name.into(),
            subjects: vec![name.into()],
            max_message_size: i32::try_from(LARGEST)?,
            ..stream::Config::default()
        };
        self.jetstream().await?.create_stream(config).await?;
        Ok(name.to_owned())
    }

    async fn transport(&self) -> anyhow::Result<Box<dyn Transport>> {
        Ok(Box::new(NatsTransport::connect(NatsConfig::new(self.server.url()))?))
    }

    async fn fail(&self) {
        self.server.kill().await;
    }

    async fn recover(&self) {
        self.server.start().await;
    }

    async fn read(&self, topic: &str) -> anyhow::Result<Vec<Delivery>> {
        let stream = self.jetstream().await?.get_stream(topic).await?;
        let stored = usize::try_from(stream.get_info().await?.state.messages)?;
        let mut messages = stream.create_consumer(consumer::pull::OrderedConfig::default()).await?.messages().await?;
        let mut read = Vec::with_capacity(stored);
        while read.len() < stored {
            let next = timeout(SOON, messages.next()).await;
            let next = next.with_context(|| format!("{} of {stored} messages came", read.len()))?;
            let got = next.context("the stream is gone")??;
            let header = |name: &str| {
                let found = got.headers.as_ref().and_then(|headers| headers.get(name));
                found.map(|value| value.as_str().to_owned())
            };
            let payload = String::from_utf8_lossy(&got.payload).into_owned();
            let id = header("Nats-Msg-Id").unwrap_or_else(|| "none".into());
            read.push(Delivery { id, key: header("message-key"), payload });
        }
        Ok(read)
    }
}
