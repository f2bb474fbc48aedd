use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use futures_util::{StreamExt, TryStreamExt, stream};
use outbox::sns::{SnsConfig, SnsTransport};
use outbox::wire::{CONTENT_TYPE, EVENT_TYPE, MESSAGE_ID, MESSAGE_KEY};
use outbox::{Batch, MessageRef, Transport, async_trait};
use testkit::{Localstack, SnsTopic};
use tokio::sync::Mutex;

use super::contest::{Bare, Contest};

/// Messages of a request.
const MOST: usize = 10;
/// Requests under way: the transport's default.
const IN_FLIGHT: usize = 32;

/// aws-sdk-sns with requests of ten messages to a FIFO topic of LocalStack, which is what takes the time.
pub(crate) struct SnsContest {
    server: Localstack,
    topics: Mutex<HashMap<String, SnsTopic>>,
}

impl SnsContest {
    pub(crate) async fn start() -> Self {
        Self { server: Localstack::own_on_host().await, topics: Mutex::default() }
    }

    async fn client(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.server.settings().await)
    }
}

#[async_trait]
impl Contest for SnsContest {
    fn name(&self) -> &'static str {
        "SNS"
    }

    fn sizes(&self) -> (usize, usize) {
        (2_000, 100)
    }

    fn target_with_one_key(&self) -> bool {
        false
    }

    async fn place(&self, name: &str) -> Result<String> {
        let topic = self.server.topic(&format!("{name}.fifo")).await;
        let name = topic.name().to_owned();
        self.topics.lock().await.insert(name.clone(), topic);
        Ok(name)
    }

    async fn stored(&self, topic: &str) -> Result<u64> {
        let topics = self.topics.lock().await;
        let topic = topics.get(topic).context("the topic was made here")?;
        Ok(topic.messages().await.len() as u64)
    }

    async fn empty(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn transport(&self) -> Result<Arc<dyn Transport>> {
        let config = SnsConfig::new(Localstack::ARN_PREFIX).endpoint(self.server.url());
        Ok(Arc::new(SnsTransport::with_client(config, self.client().await)?))
    }

    async fn bare(&self, one_key: bool) -> Result<Box<dyn Bare>> {
        let (most, in_flight) = if one_key { (1, 1) } else { (MOST, IN_FLIGHT) };
        Ok(Box::new(Client { sns: self.client().await, most, in_flight }))
    }
}

struct Client {
    sns: aws_sdk_sns::Client,
    most: usize,
    in_flight: usize,
}

#[async_trait]
impl Bare for Client {
    async fn publish(&mut self, batches: Vec<Batch>) -> Result<()> {
        let mut requests = Vec::new();
        for batch in &batches {
            for from in (0..batch.len()).step_by(self.most) {
                requests.push((batch, from..batch.len().min(from + self.most)));
            }
        }
        let send = |(batch, range): (&Batch, std::ops::Range<usize>)| {
            let topic = batch.get(range.start).topic().to_owned();
            let entries: Result<Vec<_>> = range.map(|i| entry(&batch.get(i))).collect();
            self.send(topic, entries)
        };
        let sends: Vec<_> = requests.into_iter().map(send).collect();
        stream::iter(sends).buffer_unordered(self.in_flight).try_collect().await
    }
}

impl Client {
    async fn send(&self, topic: String, entries: Result<Vec<PublishBatchRequestEntry>>) -> Result<()> {
        let arn = format!("{}{topic}", Localstack::ARN_PREFIX);
        let sent = self.sns.publish_batch().topic_arn(arn).set_publish_batch_request_entries(Some(entries?)).send();
        let failed = sent.await?.failed.unwrap_or_default();
        ensure!(failed.is_empty(), "SNS failed {failed:?}");
        Ok(())
    }
}

fn entry(m: &MessageRef<'_>) -> Result<PublishBatchRequestEntry> {
    let (id, key) = (m.id().to_string(), m.key().unwrap_or_default());
    let attributes = [
        (MESSAGE_ID, id.as_str()),
        (EVENT_TYPE, m.event_type()),
        (CONTENT_TYPE, m.content_type().unwrap_or_default()),
        (MESSAGE_KEY, key),
    ];
    let attribute = |(name, value): (&str, &str)| {
        let value = MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
        Ok((name.to_owned(), value))
    };
    let attributes: Result<HashMap<_, _>> = attributes.into_iter().map(attribute).collect();
    Ok(PublishBatchRequestEntry::builder()
        .id(m.index().to_string())
        .message(String::from_utf8_lossy(m.payload()))
        .set_message_attributes(Some(attributes?))
        .message_group_id(key)
        .message_deduplication_id(id)
        .build()?)
}
