//! The transactional outbox to NATS JetStream, on [async-nats](https://docs.rs/async-nats).
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use outbox_nats::{NatsConfig, NatsTransport};
//!
//! let nats = NatsTransport::connect(NatsConfig::new("nats://localhost:4222").declare("orders", ["orders.>"]))?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a message carries
//! | NATS | message |
//! |---|---|
//! | subject | topic, behind the [prefix](NatsConfig::subject_prefix) where there is one |
//! | header `Nats-Msg-Id` | id, as hyphenated lower-case UUID: what the stream and consumers deduplicate by |
//! | header `event-type` | event type |
//! | header `content-type` | content type, where there is one |
//! | header `message-key` | key, where there is one |
//! | further headers | the message's own; one that has the name of a header above is left out |
//! | payload | payload, as it is |
//!
//! With [`WireFormat`](outbox_core::wire::WireFormat)s other than the raw one, what they make of a message goes into
//! the headers and the payload; `Nats-Msg-Id` stays.
//!
//! What NATS would store and nobody could use is refused, with the reason: a subject with wildcards, spaces or empty
//! tokens, one that begins with `$` (but for `$KV.`), a header whose name begins with `Nats-`, since such a header is a
//! command to the server.
//!
//! # What is guaranteed
//! Every message is acknowledged by its stream. One in flight per key ([`KeyOrder::OneInFlight`]) keeps the order, and
//! the stream drops what comes twice within its `duplicate_window` (2 min by default; longer is better). A client that
//! lost its connection or is not answered is thrown away with all that it holds, and a new one sends again: left to
//! itself, the client would send what was given up when the server is back.
//!
//! A subject that no stream has, or that we may not publish to, holds its own messages only. So does one whose stream is
//! full (`discard: new`): it costs no attempt, and other streams go on.
//!
//! With [`atomic_batches`](NatsConfig::atomic_batches) many messages of a key go at once ([`KeyOrder::Gapless`]).
//!
//! # What is durable
//! What the stream is: `storage: file`, on three replicas (R3). A server writes to disk at once, but syncs every two
//! minutes by default: a crash of the machine, not of the server, loses what was acknowledged since. With one replica
//! set `sync_interval: always`. [`check`](outbox_core::Transport::check) finds streams in memory, those that drop
//! unread messages, and more.
//!
//! [`KeyOrder::OneInFlight`]: outbox_core::KeyOrder::OneInFlight
//! [`KeyOrder::Gapless`]: outbox_core::KeyOrder::Gapless

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
