use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use outbox::kafka::{KafkaConfig, KafkaTransport};
use outbox::wire::{CONTENT_TYPE, EVENT_TYPE, MESSAGE_ID};
use outbox::{Batch, MessageRef, Transport, async_trait};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use testkit::Kafka;

use super::contest::{Bare, Contest};

const PARTITIONS: i32 = 6;
const SOON: Duration = Duration::from_secs(10);
/// Messages under way at most, as the relay has it by default.
const WINDOW: usize = 20_000;

/// rdkafka's `ThreadedProducer`, with a callback for each acknowledgement.
pub(crate) struct KafkaContest(Kafka);

impl KafkaContest {
    pub(crate) async fn start() -> Self {
        Self(Kafka::own_on_host().await)
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.0.bootstrap());
        config
    }
}

#[async_trait]
impl Contest for KafkaContest {
    fn name(&self) -> &'static str {
        "Kafka"
    }

    fn sizes(&self) -> (usize, usize) {
        (600_000, 300_000)
    }

    fn target_with_one_key(&self) -> bool {
        true
    }

    async fn place(&self, name: &str) -> Result<String> {
        self.0.create(name, PARTITIONS, &[]).await;
        Ok(name.to_owned())
    }

    async fn stored(&self, topic: &str) -> Result<u64> {
        let (consumer, topic): (BaseConsumer, String) = (self.config().create()?, topic.to_owned());
        let count = move || {
            let ends = (0..PARTITIONS).map(|p| Ok(consumer.fetch_watermarks(&topic, p, SOON)?.1));
            Ok(u64::try_from(ends.sum::<Result<i64>>()?)?)
        };
        tokio::task::spawn_blocking(count).await?
    }

    async fn empty(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn transport(&self) -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(KafkaTransport::connect(KafkaConfig::new(self.0.bootstrap()))?))
    }

    async fn bare(&self, _: bool) -> Result<Box<dyn Bare>> {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "1");
        config.set("partitioner", "murmur2_random").set("queue.buffering.max.messages", "1000000");
        let counts = Counts::default();
        Ok(Box::new(Client { producer: config.create_with_context(counts.clone())?, counts, sent: 0 }))
    }
}

/// Acknowledgements and errors.
#[derive(Clone, Default)]
struct Counts(Arc<(AtomicUsize, AtomicUsize)>);

impl ClientContext for Counts {}

impl ProducerContext for Counts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() { &self.0.0 } else { &self.0.1 };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

struct Client {
    producer: ThreadedProducer<Counts>,
    counts: Counts,
    sent: usize,
}

#[async_trait]
impl Bare for Client {
    async fn publish(&mut self, batches: Vec<Batch>) -> Result<()> {
        // On this thread: it blocks, and memory of threads that come and go is slower.
        tokio::task::block_in_place(|| {
            for batch in batches {
                batch.iter().try_for_each(|m| send(&self.producer, &m))?;
                self.sent += batch.len();
                self.acknowledged(self.sent.saturating_sub(WINDOW))?;
            }
            self.acknowledged(self.sent)
        })
    }
}

impl Client {
    /// Waits for so many acknowledgements in all.
    fn acknowledged(&self, count: usize) -> Result<()> {
        while self.counts.0.0.load(Ordering::Relaxed) < count {
            ensure!(self.counts.0.1.load(Ordering::Relaxed) == 0, "a message was not delivered");
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }
}

fn send(producer: &ThreadedProducer<Counts>, m: &MessageRef<'_>) -> Result<()> {
    let id = m.id().to_string();
    let headers = OwnedHeaders::new_with_capacity(3)
        .insert(Header { key: MESSAGE_ID, value: Some(&id) })
        .insert(Header { key: EVENT_TYPE, value: Some(m.event_type()) })
        .insert(Header { key: CONTENT_TYPE, value: m.content_type() });
    let key = m.key().unwrap_or_default();
    let mut record = BaseRecord::<str, [u8], ()>::to(m.topic()).key(key).payload(m.payload()).headers(headers);
    while let Err((e, back)) = producer.send(record) {
        if !matches!(e, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
            return Err(e.into());
        }
        record = back;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
