use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName};
use futures_util::future::join_all;
use tokio::sync::Mutex;

use crate::{Localstack, names};

/// A topic with a queue behind it.
#[derive(Debug)]
pub struct SnsTopic {
    name: String,
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    /// Taken from the queue so far.
    taken: Mutex<Vec<SnsMessage>>,
}

/// A message as a queue behind a topic got it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnsMessage {
    /// The body.
    pub body: String,
    /// The attributes, of which all are text.
    pub attributes: HashMap<String, String>,
    /// The message group, of a FIFO topic.
    pub group: Option<String>,
    /// The deduplication id, of a FIFO topic.
    pub deduplication_id: Option<String>,
}

/// What the reader itself publishes, to know when it has everything.
const MARKER: &str = "testkit-marker";
/// LocalStack delivers with ten threads: for so many markers it has begun with all that came before.
const MARKERS: usize = 10;
/// ... and within this time it has ended with them.
const GRACE: Duration = Duration::from_millis(300);

impl SnsTopic {
    pub(crate) fn new(name: String, settings: &aws_config::SdkConfig) -> Self {
        let (sns, sqs) = (aws_sdk_sns::Client::new(settings), aws_sdk_sqs::Client::new(settings));
        Self { name, sns, sqs, taken: Mutex::default() }
    }

    /// Makes it, and its queue. Again after a restart of LocalStack, which forgets them.
    pub async fn create(&self) {
        let mut topic = self.sns.create_topic().name(&self.name);
        let mut queue = self.sqs.create_queue().queue_name(self.queue());
        if self.is_fifo() {
            topic = topic.attributes("FifoTopic", "true");
            queue = queue.attributes(QueueAttributeName::FifoQueue, "true");
        }
        topic.send().await.unwrap_or_else(|e| panic!("the topic {}: {e:?}", self.name));
        queue.send().await.unwrap_or_else(|e| panic!("the queue of {}: {e:?}", self.name));
        let queue = format!("arn:aws:sqs:us-east-1:000000000000:{}", self.queue());
        let subscribe = self.sns.subscribe().topic_arn(self.arn()).protocol("sqs").endpoint(queue);
        let subscribed = subscribe.attributes("RawMessageDelivery", "true").send().await;
        subscribed.unwrap_or_else(|e| panic!("the subscription to {}: {e:?}", self.name));
    }

    /// Its name, with `.fifo` where it is one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("{}{}", Localstack::ARN_PREFIX, self.name)
    }

    fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    /// Of 80 bytes at most: the end of the topic's name, which is its own.
    fn queue(&self) -> &str {
        &self.name[self.name.len().saturating_sub(60)..]
    }

    /// All messages that were published and acknowledged by now, the oldest first; those of before a restart too.
    pub async fn messages(&self) -> Vec<SnsMessage> {
        let mut taken = self.taken.lock().await;
        // Of a FIFO topic all is delivered by one thread.
        let mut left = if self.is_fifo() { 1 } else { MARKERS };
        join_all((0..left).map(|_| self.mark())).await;
        while left > 0 {
            let seen = self.take(&mut taken).await;
            left = left.saturating_sub(seen);
        }
        if !self.is_fifo() {
            tokio::time::sleep(GRACE).await;
            while self.take(&mut taken).await > 0 {}
        }
        taken.clone()
    }

    /// Takes what is in the queue, and counts the markers in it.
    async fn take(&self, taken: &mut Vec<SnsMessage>) -> usize {
        let mut markers = 0;
        loop {
            let receive = self.sqs.receive_message().queue_url(self.queue_url()).max_number_of_messages(10);
            let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
            let received = receive.message_attribute_names("All").wait_time_seconds(0).send().await;
            let received = received.unwrap_or_else(|e| panic!("the queue of {}: {e:?}", self.name));
            let messages = received.messages.unwrap_or_default();
            if messages.is_empty() {
                return markers;
            }
            self.delete(&messages).await;
            for m in messages.into_iter().map(read) {
                if m.attributes.contains_key(MARKER) { markers += 1 } else { taken.push(m) }
            }
        }
    }

    async fn delete(&self, messages: &[Message]) {
        let entry = |(i, m): (usize, &Message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(i.to_string());
            entry.set_receipt_handle(m.receipt_handle.clone()).build().expect("complete")
        };
        let entries = messages.iter().enumerate().map(entry).collect();
        let deleted =
            self.sqs.delete_message_batch().queue_url(self.queue_url()).set_entries(Some(entries)).send().await;
        let deleted = deleted.unwrap_or_else(|e| panic!("the queue of {}: {e:?}", self.name));
        assert!(deleted.failed.is_empty(), "the queue of {}: {:?}", self.name, deleted.failed);
    }

    async fn mark(&self) {
        let value = aws_sdk_sns::types::MessageAttributeValue::builder().data_type("String").string_value("1");
        let value = value.build().expect("complete");
        let mut publish = self.sns.publish().topic_arn(self.arn()).message("marker").message_attributes(MARKER, value);
        if self.is_fifo() {
            publish = publish.message_group_id(MARKER).message_deduplication_id(names::unique("marker", '-'));
        }
        publish.send().await.unwrap_or_else(|e| panic!("a marker to {}: {e:?}", self.name));
    }

    fn queue_url(&self) -> String {
        format!("http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/{}", self.queue())
    }
}

fn read(m: Message) -> SnsMessage {
    let text = |value: aws_sdk_sqs::types::MessageAttributeValue| value.string_value.unwrap_or_default();
    let mut system = m.attributes.unwrap_or_default();
    SnsMessage {
        body: m.body.unwrap_or_default(),
        attributes: m.message_attributes.unwrap_or_default().into_iter().map(|(n, v)| (n, text(v))).collect(),
        group: system.remove(&MessageSystemAttributeName::MessageGroupId),
        deduplication_id: system.remove(&MessageSystemAttributeName::MessageDeduplicationId),
    }
}
