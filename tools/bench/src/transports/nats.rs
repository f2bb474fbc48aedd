use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::{self, stream};
use outbox::nats::{NatsConfig, NatsTransport};
use outbox::wire::{CONTENT_TYPE, EVENT_TYPE, MESSAGE_KEY};
use outbox::{Batch, MessageRef, Transport, async_trait};
use testkit::Nats;

use super::contest::{Bare, Contest};

/// Publishes under way.
const IN_FLIGHT: usize = 4_000;

/// async-nats with thousands of publishes under way, each with its id for deduplication.
pub(crate) struct NatsContest(Nats);

impl NatsContest {
    pub(crate) async fn start() -> Self {
        Self(Nats::own_on_host().await)
    }

    async fn jetstream(&self) -> Result<jetstream::Context> {
        let client = async_nats::connect(self.0.url()).await?;
        Ok(jetstream::ContextBuilder::new().max_ack_inflight(IN_FLIGHT + 10).build(client))
    }
}

#[async_trait]
impl Contest for NatsContest {
    fn name(&self) -> &'static str {
        "NATS"
    }

    fn sizes(&self) -> (usize, usize) {
        (100_000, 5_000)
    }

    fn target_with_one_key(&self) -> bool {
        false
    }

    async fn place(&self, name: &str) -> Result<String> {
        let config = stream::Config { name: name.into(), subjects: vec![name.into()], ..stream::Config::default() };
        self.jetstream().await?.create_stream(config).await?;
        Ok(name.to_owned())
    }

    async fn stored(&self, topic: &str) -> Result<u64> {
        Ok(self.jetstream().await?.get_stream(topic).await?.get_info().await?.state.messages)
    }

    async fn empty(&self, topic: &str) -> Result<()> {
        self.jetstream().await?.get_stream(topic).await?.purge().await?;
        Ok(())
    }

    async fn transport(&self) -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(NatsTransport::connect(NatsConfig::new(self.0.url()))?))
    }

    async fn bare(&self, one_key: bool) -> Result<Box<dyn Bare>> {
        let in_flight = if one_key { 1 } else { IN_FLIGHT };
        Ok(Box::new(Client { jetstream: self.jetstream().await?, in_flight }))
    }
}

struct Client {
    jetstream: jetstream::Context,
    in_flight: usize,
}

#[async_trait]
impl Bare for Client {
    async fn publish(&mut self, batches: Vec<Batch>) -> Result<()> {
        let mut acks = VecDeque::with_capacity(self.in_flight);
        for m in batches.iter().flat_map(Batch::iter) {
            if acks.len() >= self.in_flight
                && let Some(oldest) = acks.pop_front()
            {
                acknowledged(oldest).await?;
            }
            acks.push_back(self.send(&m).await?);
        }
        for ack in acks {
            acknowledged(ack).await?;
        }
        Ok(())
    }
}

async fn acknowledged(ack: PublishAckFuture) -> Result<()> {
    let ack = ack.await?;
    anyhow::ensure!(!ack.duplicate, "the server has had {} before", ack.sequence);
    Ok(())
}

impl Client {
    async fn send(&self, m: &MessageRef<'_>) -> Result<PublishAckFuture> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, m.id().to_string());
        headers.insert(EVENT_TYPE, m.event_type());
        headers.insert(CONTENT_TYPE, m.content_type().unwrap_or_default());
        headers.insert(MESSAGE_KEY, m.key().unwrap_or_default());
        Ok(self.jetstream.publish_with_headers(m.topic().to_owned(), headers, m.payload_bytes()).await?)
    }
}
