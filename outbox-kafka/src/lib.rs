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
//! In one line, from the environment too (`OUTBOX_KAFKA_URL`): [`KafkaConfig::from_url`], [`KafkaConfig::from_env`].
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
//! That is the raw format; [`KafkaConfig::format`] sets another one. Those of CloudEvents put their attributes into
//! headers that begin with `ce_`.
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
//! # What is looked at before
//! When a relay first has its lease it warns of what will cost messages: topics that do not exist, one replica alone,
//! `min.insync.replicas` of 1, a `max.message.bytes` below the largest payload, compaction. See
//! [`KafkaConfig::declare`] for topics that the transport creates.
//!
//! # Who comes
//! Everything that librdkafka knows is an [option](KafkaConfig::option): SASL/PLAIN as it is; TLS, client certificates
//! and SASL/SCRAM with the feature `ssl`, which uses the system's OpenSSL; so are tokens (SASL/OAUTHBEARER), by
//! [`KafkaConfig::tokens`]. Kerberos, and tokens that librdkafka asks an OIDC provider for itself, come with the
//! features `gssapi` and `curl` of rdkafka, and the system libraries that they need: name them in your own
//! `Cargo.toml`, and set the options.
//!
//! [`KeyOrder::Gapless`]: outbox_core::KeyOrder::Gapless

mod check;
mod client;
mod config;
mod confirm;
mod error;
mod handover;
mod keys;
mod token;
mod transport;
mod url;
mod wire;

pub use config::KafkaConfig;
pub use error::KafkaConfigError;
pub use token::KafkaToken;
pub use transport::KafkaTransport;
