//! The transactional outbox to RabbitMQ, on [lapin](https://docs.rs/lapin).
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use outbox_amqp::{AmqpConfig, AmqpTransport};
//!
//! let rabbitmq = AmqpTransport::connect(AmqpConfig::new("amqp://user:secret@localhost:5672").exchange("events"))?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a message carries
//! | AMQP 0-9-1 | message |
//! |---|---|
//! | routing key | topic; without [`exchange`](AmqpConfig::exchange) this is the name of the queue |
//! | `message-id` | id, as hyphenated lower-case UUID: what consumers deduplicate by |
//! | `type` | event type |
//! | `content-type` | content type, where there is one |
//! | `timestamp` | when it was enqueued, in seconds |
//! | `delivery-mode` | 2, persistent |
//! | header `message-key` | key, where there is one |
//! | further headers | the message's own, as long strings; one named `message-id`, `event-type`, `content-type` or `message-key` is left out |
//! | body | payload, as it is |
//!
//! With [`WireFormat`](outbox_core::wire::WireFormat)s other than the raw one, what they make of a message goes into
//! the headers and the body; the properties stay.
//!
//! # What is guaranteed
//! Every message is published as mandatory and is confirmed by the broker. One that no queue takes was not delivered:
//! its topic waits until there is a queue, other topics go on. So does the topic of a queue that refuses it
//! (`basic.nack`: it is full, with `overflow` `reject-publish`). One in flight per key
//! ([`KeyOrder::OneInFlight`](outbox_core::KeyOrder::OneInFlight)) keeps the order. RabbitMQ drops no duplicates.
//!
//! Durable is what the queue is: use quorum queues, or durable classic ones. [`AmqpConfig::declare`] declares them.
//!
//! # What the log shows
//! lapin logs each message that no queue takes at WARN, with its payload. To keep payloads out of the log, filter
//! `lapin::returned_messages=off`.

mod check;
mod client;
mod config;
mod confirm;
mod error;
mod handover;
mod password;
mod transport;
mod wire;

pub use config::{AmqpConfig, QueueKind};
pub use error::AmqpConfigError;
pub use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
pub use transport::AmqpTransport;
