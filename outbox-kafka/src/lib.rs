//! The transactional outbox to Kafka, on [rdkafka](https://docs.rs/rdkafka).
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use outbox_kafka::{KafkaConfig, KafkaTransport};
//!
//! let kafka = KafkaTransport::connect(KafkaConfig::new("localhost:9092").option("compression.type", "gzip"))?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a record carries
//! | record | message |
//! |---|---|
//! | topic | topic |
//! | key | key, as text; null where there is none |
//! | value | payload, as it is |
//! | header `message-id` | id, as hyphenated lower-case UUID: what consumers deduplicate by |
//! | header `event-type` | event type |
//! | header `content-type` | content type, where there is one |
//! | further headers | the message's own; one that has the name of a header above is left out |
//!
//! The partition is chosen by the key as Java clients choose it (`murmur2_random`).
//!
//! # What is guaranteed
//! The producer is idempotent and gapless, waits for all in-sync replicas, and never gives a message up by itself. None
//! of this can be switched off: the order within a key rests on it ([`KeyOrder::Gapless`]). A client that had a fatal
//! error, or did not answer within the relay's publish deadline, is thrown away with all that it holds; a new one sends
//! again from the first unconfirmed message of each key. That gives duplicates, never another order. A new client sends
//! the second message of a key when the first one was confirmed, and from then on as many as there are.
//!
//! With the feature `ssl`: TLS and SASL/SCRAM, with the system's OpenSSL.
//!
//! [`KeyOrder::Gapless`]: outbox_core::KeyOrder::Gapless

mod client;
mod config;
mod confirm;
mod error;
mod handover;
mod keys;
mod transport;
mod wire;

pub use config::KafkaConfig;
pub use error::KafkaConfigError;
pub use transport::KafkaTransport;
