//! What SNS says of the topics before the first publish.

use std::collections::HashMap;

use aws_sdk_sns::Client;
use futures_util::{StreamExt, TryStreamExt, stream};
use outbox_core::{BoxError, Finding};

use crate::config::USUAL;
use crate::error::{self, Fault};
use crate::topics::{Destination, Topics};

/// Topics asked after at once.
const AT_ONCE: usize = 8;

#[derive(Debug)]
pub(crate) struct Check<'a> {
    pub(crate) client: &'a Client,
    pub(crate) topics: &'a Topics,
    pub(crate) max_message: usize,
    pub(crate) declare: bool,
}

impl Check<'_> {
    pub(crate) async fn run(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        let asked: Vec<_> = topics.iter().map(|topic| self.one(topic)).collect();
        let found: Vec<Vec<Finding>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let mut findings: Vec<Finding> = found.into_iter().flatten().collect();
        if self.declare && topics.is_empty() {
            findings.push(Finding::new(
                "SnsConfig::declare is set, and the relay names no exact topics: none is created",
                "name them in `topics` of the relay, or create them by hand",
            ));
        }
        let unordered = |topic: &&String| self.topics.find(topic).is_ok_and(|to| !to.fifo);
        let standard: Vec<&str> = topics.iter().filter(unordered).map(String::as_str).collect();
        if !standard.is_empty() {
            findings.push(Finding::new(
                format!("standard topics keep no order, nor drop what comes twice: {}", standard.join(", ")),
                "where messages have keys whose order matters use FIFO topics (SnsConfig::fifo)",
            ));
        }
        Ok(findings)
    }

    async fn one(&self, topic: &str) -> Result<Vec<Finding>, BoxError> {
        let to = match self.topics.find(topic) {
            Ok(to) => to,
            Err(why) => return Ok(vec![Finding::new(why, "until then its messages wait")]),
        };
        let error = match self.client.get_topic_attributes().topic_arn(&*to.arn).send().await {
            Ok(answer) => return Ok(self.findings(topic, &to, answer.attributes().unwrap_or(&HashMap::new()))),
            Err(error) => error,
        };
        let gone = error.as_service_error().is_some_and(|e| e.is_not_found_exception());
        if gone && self.declare {
            return self.create(&to).await;
        }
        let why = error::text(&error);
        match Fault::of(&error) {
            Fault::Destination if gone => Ok(vec![Finding::new(
                format!("the topic {topic} is not there ({})", to.arn),
                "create it, or let the relay do so (SnsConfig::declare); until then its messages wait",
            )]),
            Fault::Destination => Ok(vec![Finding::new(
                format!("the topic {topic} cannot be looked at ({}): {why}", to.arn),
                "allow sns:GetTopicAttributes and sns:Publish on it",
            )]),
            _ => Err(why.into()),
        }
    }

    fn findings(&self, topic: &str, to: &Destination, attributes: &HashMap<String, String>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let largest = attributes.get("MaximumMessageSize").and_then(|size| size.parse().ok()).unwrap_or(USUAL);
        if largest < self.max_message {
            findings.push(Finding::new(
                format!("the topic {topic} takes {largest} bytes, and messages may have {}", self.max_message),
                "raise its MaximumMessageSize, or lower SnsConfig::max_payload",
            ));
        }
        if to.fifo && attributes.get("FifoThroughputScope").is_some_and(|scope| scope == "Topic") {
            findings.push(Finding::new(
                format!("the FIFO topic {topic} takes 3,000 messages a second at most"),
                "set its FifoThroughputScope to MessageGroup; message ids deduplicate within a key as well",
            ));
        }
        findings
    }

    async fn create(&self, to: &Destination) -> Result<Vec<Finding>, BoxError> {
        let Some(name) = self.topics.own_name(&to.arn) else {
            return Ok(vec![Finding::new(
                format!("the topic {} is not there", to.arn),
                "it is of another account: create it there",
            )]);
        };
        let mut attributes = HashMap::new();
        if to.fifo {
            attributes.insert("FifoTopic".to_owned(), "true".to_owned());
            attributes.insert("FifoThroughputScope".to_owned(), "MessageGroup".to_owned());
        }
        if self.max_message > USUAL {
            attributes.insert("MaximumMessageSize".to_owned(), self.max_message.to_string());
        }
        let create = self.client.create_topic().name(name).set_attributes(Some(attributes));
        let Err(error) = create.send().await else {
            tracing::info!(arn = &*to.arn, "the topic was created");
            return Ok(Vec::new());
        };
        let why = error::text(&error);
        match Fault::of(&error) {
            Fault::Passing => Err(why.into()),
            _ => Ok(vec![Finding::new(
                format!("the topic {} could not be created: {why}", to.arn),
                "create it, or allow sns:CreateTopic",
            )]),
        }
    }
}
