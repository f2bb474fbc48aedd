//! The transactional outbox to NATS JetStream, on [async-nats](https://docs.rs/async-nats).
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use outbox_nats::{NatsConfig, NatsTransport};
//!
//! let nats = NatsTransport::connect(NatsConfig::new("nats://localhost:4222"))?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a message becomes
//! | NATS | message |
//! |---|---|
//! | subject | topic, behind the [prefix](NatsConfig::subject_prefix) where there is one |
//! | header `Nats-Msg-Id` | id, as hyphenated lower-case UUID: what the stream, and consumers, deduplicate by |
//! | header `event-type` | event type |
//! | header `content-type` | content type, where there is one |
//! | header `message-key` | key, where there is one |
//! | further headers | the message's own; one named `message-id` or like a header above is left out |
//! | payload | payload, as it is |
//!
//! A topic with a wildcard, a space or an empty token, a header whose name NATS does not take or that begins with
//! `Nats-`, and one whose value has CR, LF or NUL are refused: the message becomes a dead letter that says so.
//!
//! # What is guaranteed
//! A message is delivered when its stream has acknowledged it, a duplicate too. A subject that no stream has, or that we
//! may not publish to, is a destination that failed: it is held, others go on. A stream that is full is an outage. One
//! in flight per key keeps the order; with [`atomic_batches`](NatsConfig::atomic_batches) many of a key are stored at
//! once.
//!
//! The stream drops what is sent again within its `duplicate_window`. A client that was not answered is thrown away with
//! its connection, so that what it still holds does not arrive later.
//!
//! **Durability** is the stream's: file storage and three replicas. A server flushes its files every two minutes unless
//! `sync_interval` says otherwise, so that a machine that crashes may lose what it acknowledged; see the
//! [documentation of NATS](https://docs.nats.io/running-a-nats-service/configuration).

mod check;
mod client;
mod config;
mod confirm;
mod error;
mod gapless;
mod publish;
mod servers;
mod streams;
mod transport;
mod waiting;
mod wire;

pub use config::NatsConfig;
pub use error::NatsConfigError;
pub use transport::NatsTransport;
