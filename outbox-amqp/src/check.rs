use std::sync::Arc;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Error, ExchangeKind};
use outbox_core::BoxError;
use outbox_core::transport::Finding;

use crate::QueueKind;
use crate::client::{Client, Link};
use crate::config::Settings;
use crate::error::Fault;

/// The largest header frame that the limits allow, in bytes: less than a broker's default.
const FRAME: usize = 70 << 10;

/// Asks the broker, each question by a channel of its own: one that is answered with an error is closed.
pub(crate) struct Check<'a> {
    settings: &'a Settings,
    link: Arc<Link>,
}

impl<'a> Check<'a> {
    pub(crate) async fn new(client: &'a Client) -> Result<Self, BoxError> {
        Ok(Self { settings: client.settings(), link: client.link().await? })
    }

    pub(crate) async fn run(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        let mut found = Vec::new();
        let (named, exchange) = (!self.settings.exchange.as_str().is_empty(), self.settings.exchange.as_str());
        if self.link.frame_max() < FRAME {
            found.push(Finding::new(
                format!("the broker's frames are {} bytes", self.link.frame_max()),
                format!("messages with larger headers become dead letters; set its frame_max to {FRAME} or more"),
            ));
        }
        if named && let Err(e) = self.exchange().await {
            let what = format!("the exchange {exchange:?} cannot be used");
            found.push(finding(&e, what, "declare it, durable, or correct AmqpConfig::exchange")?);
            return Ok(found);
        }
        if self.settings.declare.is_some() && topics.is_empty() {
            found.push(Finding::new(
                "AmqpConfig::declare is set, and the relay names no exact topics: no queue is declared",
                "name them in `topics` of the relay, or declare the queues by hand",
            ));
        }
        for topic in topics {
            let Ok(queue) = ShortString::try_new(topic.as_str()) else { continue };
            // What is bound to an exchange only a message tells.
            if named && self.settings.declare.is_none() {
                continue;
            }
            if let Err(e) = self.queue(&queue).await {
                let what = format!("the queue {topic:?} cannot be used");
                found.push(finding(
                    &e,
                    what,
                    "declare it, as a quorum queue or a durable one, or see AmqpConfig::declare",
                )?);
            } else if !named && self.settings.declare.is_none() && !self.is_durable(&queue).await? {
                found.push(Finding::new(
                    format!("the queue {topic:?} is not durable: what it has is gone when the broker starts again"),
                    "declare it as a quorum queue, or a durable one",
                ));
            } else if named && let Err(e) = self.bind(&queue).await {
                let what = format!("the queue {topic:?} cannot be bound to the exchange {exchange:?}");
                found.push(finding(&e, what, "bind a queue with the topic as routing key")?);
            }
        }
        Ok(found)
    }

    async fn exchange(&self) -> Result<(), Error> {
        let channel = self.link.plain_channel().await?;
        let passive = self.settings.declare.is_none();
        let options = ExchangeDeclareOptions { passive, durable: true, ..ExchangeDeclareOptions::default() };
        let name = self.settings.exchange.clone();
        channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default()).await
    }

    async fn queue(&self, name: &ShortString) -> Result<(), Error> {
        let channel = self.link.plain_channel().await?;
        let mut arguments = FieldTable::default();
        let kind = self.settings.declare.map(|kind| match kind {
            QueueKind::Quorum => "quorum",
            QueueKind::Classic => "classic",
        });
        if let Some(kind) = kind {
            arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        }
        let options = QueueDeclareOptions { passive: kind.is_none(), durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.clone(), options, arguments).await.map(drop)
    }

    /// A queue that is there and is not durable says so when it is declared as one that is. It may refuse that for other
    /// reasons too, such as its type, which say nothing here.
    async fn is_durable(&self, name: &ShortString) -> Result<bool, BoxError> {
        let channel = self.link.plain_channel().await?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        match channel.queue_declare(name.clone(), options, FieldTable::default()).await {
            Err(e) if matches!(Fault::of(&e), Fault::Unknown | Fault::Connection) => Err(e.to_string().into()),
            Err(e) => Ok(!e.to_string().contains("'durable'")),
            Ok(_) => Ok(true),
        }
    }

    async fn bind(&self, queue: &ShortString) -> Result<(), Error> {
        let channel = self.link.plain_channel().await?;
        let (exchange, options) = (self.settings.exchange.clone(), QueueBindOptions::default());
        channel.queue_bind(queue.clone(), exchange, queue.clone(), options, FieldTable::default()).await
    }
}

/// What the broker answered, or that it did not answer.
fn finding(e: &Error, what: String, advice: &str) -> Result<Finding, BoxError> {
    match Fault::of(e) {
        Fault::Unknown | Fault::Connection => Err(e.to_string().into()),
        _ => Ok(Finding::new(format!("{what} ({e})"), advice)),
    }
}
