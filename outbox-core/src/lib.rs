//! The transactional outbox: a message is written in the caller's own database transaction, and a [`Relay`] carries it
//! to a broker, at least once and in order per key.
//!
//! This crate holds the contract that stores and transports keep, and the relay between them. It contains no database
//! and no broker: those are crates of their own (`outbox-sqlx`, `outbox-kafka`), combined by the features of `outbox`.
//!
//! # Promises
//! - **G1 atomic**: the message exists if and only if the caller's transaction committed.
//! - **G2 at least once**: a committed message reaches the broker or the dead letters.
//! - **G3 order per key**: if m2's enqueue began after m1's transaction committed, or both are of one transaction in
//!   that order, the first occurrence of m1 precedes that of m2.
//! - **G4 bounded duplicates**: none without faults; per fault at most the window. Every message carries its id.
//! - **G5 outages cost nothing**: a broker or database that is away costs no attempts and no messages.
//! - **G6 fencing**: a relay that lost its lease changes no row and hands nothing more to a transport.
//! - **G7 poison is contained**: a message that can never be delivered becomes a dead letter alone.
//! - **G8 shutdown drains**: what is in flight is finished and settled, and a successor starts at once.

pub mod admin;
mod batch;
pub mod clock;
mod error;
pub mod layer;
mod limits;
pub mod log;
pub mod memory;
mod message;
mod relay;
mod seqset;
mod store;
mod topics;
pub mod transport;
pub mod wire;

pub use batch::{Batch, BatchBuilder, MessageRef, Row, Slot};
pub use error::{BoxError, InvalidMessage, StoreError, StoreErrorKind};
pub use limits::Limits;
pub use message::{Due, Event, IntoMessage, Message, MessageId};
pub use relay::{
    Observer, OnExhausted, OnFailure, Relay, RelayBuilder, RelayConfigError, RelayError, RelayEvent, RelayGroup,
    RelayHandle, RelayStats, RetryPolicy, Shutdown, StoreRelay,
};
pub use seqset::SeqSet;
pub use store::{
    AcquireRequest, Acquired, Crashes, DeadLetter, FetchLimits, Lease, Note, ParkedMessage, Settlement, StartAt, Store,
    StoreCapabilities, Wakeups,
};
pub use topics::TopicFilter;
pub use transport::{Finding, KeyOrder, Outcomes, Transport, TransportCapabilities};

/// Re-exported so that an implementation of [`Store`] or [`Transport`] needs no dependency of its own.
pub use async_trait::async_trait;
pub use bytes::Bytes;
