//! The contract between the relay and whatever keeps the messages.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Batch, InvalidMessage, SeqSet, StoreError};

/// Where messages are kept and handed out, to one holder of a lease at a time.
///
/// The relay calls `fetch`, `read` and `settle` concurrently, each at most once at a time.
///
/// # Contract
/// - `LEASE-1` At most one lease per relay name is valid at any time; the store's own clock decides.
/// - `LEASE-2` Every call with a lease that is no longer valid fails with [`StoreErrorKind::LeaseLost`] and changes nothing.
/// - `LEASE-3` A released name can be acquired at once.
/// - `FETCH-1` Every committed message is handed out by `fetch` exactly once within a lease, unless it was settled before.
/// - `FETCH-2` Of two messages of one key, the one whose enqueue began after the other's commit is handed out later.
/// - `FETCH-3` After `acquire`, what an earlier lease handed out and did not settle is handed out before anything newer.
/// - `SETTLE-1` A settlement is applied as a whole or not at all, and renews the lease.
/// - `SETTLE-2` What was settled is never handed out again; a parked message only by `read`.
/// - `SETTLE-3` A settlement with dead letters is durable when `settle` returns.
///
/// # Errors
/// [`is_transient`](StoreError::is_transient) errors are retried by the relay; `LeaseLost` makes it acquire anew. After
/// an error of `settle` the relay acquires anew too: whether it was applied is not known.
///
/// # Cancel safety
/// A call whose future was dropped may have been applied. The relay drops one only together with the lease.
///
/// [`StoreErrorKind::LeaseLost`]: crate::StoreErrorKind::LeaseLost
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// What this store can do.
    fn capabilities(&self) -> StoreCapabilities;

    /// Takes the lease of a relay name, or says who has it.
    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError>;

    /// The next messages after those already handed out, ascending by `seq`; empty when there are none.
    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError>;

    /// Parked messages, to try them again. One that is gone is left out.
    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError>;

    /// Says what became of messages; an empty settlement only renews the lease.
    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError>;

    /// Gives the lease up, so that a successor starts at once.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Signals that there may be new messages. Default: none, so the relay polls.
    fn wakeups(&self) -> Option<Box<dyn Wakeups>> {
        None
    }
}

/// A source of signals. A lost signal is a delay, never a lost message.
#[async_trait]
pub trait Wakeups: Debug + Send + Sync {
    /// Completes when there may be new messages. Cancel safe.
    async fn wait(&mut self);
}

/// What a store can do, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreCapabilities {
    /// Several relay names may read the same messages.
    pub fan_out: bool,
    /// Settled messages can be handed out again under a new relay name.
    pub replay: bool,
    /// The store can delete what every relay has settled.
    pub retention: bool,
}

impl StoreCapabilities {
    /// A store that can do nothing beyond the contract.
    pub const fn new() -> Self {
        Self { fan_out: false, replay: false, retention: false }
    }

    /// Those of a log that keeps everything: fan-out and replay.
    pub const fn log() -> Self {
        Self { fan_out: true, replay: true, retention: false }
    }
}

/// What a relay asks for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcquireRequest {
    /// The relay's name.
    pub relay: String,
    /// This process and relay: the same owner may take its own lease over at once.
    pub owner: u128,
    /// How long the lease holds without renewal.
    pub lease: Duration,
    /// Where a name that nobody ever held starts.
    pub start: StartAt,
    /// Which messages are its own; the others count as settled.
    pub topics: TopicFilter,
}

impl AcquireRequest {
    /// For `relay`, with all topics from the earliest message and a lease of 30 s.
    pub fn new(relay: impl Into<String>, owner: u128) -> Self {
        Self {
            relay: relay.into(),
            owner,
            lease: Duration::from_secs(30),
            start: StartAt::Earliest,
            topics: TopicFilter::all(),
        }
    }
}

/// Where a relay name that is new starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StartAt {
    /// With the first message that is kept.
    #[default]
    Earliest,
    /// With what commits from now on.
    Now,
}

/// Exact topic names, or prefixes that end in one `*`. Empty: all topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicFilter(Vec<String>);

impl TopicFilter {
    /// Every topic.
    pub const fn all() -> Self {
        Self(Vec::new())
    }

    /// The given patterns.
    ///
    /// # Errors
    /// For an empty pattern, or a `*` anywhere but at the end.
    pub fn new(patterns: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, InvalidMessage> {
        let patterns: Vec<String> = patterns.into_iter().map(Into::into).collect();
        for p in &patterns {
            if p.is_empty() || p.strip_suffix('*').unwrap_or(p).contains('*') {
                return Err(InvalidMessage::new(
                    format!("the topic pattern {p:?} is not valid"),
                    "give an exact name, or a prefix that ends in one *",
                ));
            }
        }
        Ok(Self(patterns))
    }

    /// The patterns; empty for all topics.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    /// Whether `topic` is covered.
    pub fn matches(&self, topic: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|p| match p.strip_suffix('*') {
                Some(prefix) => topic.starts_with(prefix),
                None => p == topic,
            })
    }
}

/// The answer to [`Store::acquire`].
#[derive(Debug)]
pub enum Acquired {
    /// The lease, and what is parked under it, ascending by `seq`.
    Yes(Lease, Vec<ParkedMessage>),
    /// Someone else has it; asking again after this time is soon enough.
    Held(Duration),
}

/// Time-limited ownership of a relay name, with a fencing epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The relay's name.
    pub relay: String,
    /// Rises with every acquisition.
    pub epoch: i64,
    /// What the store needs beside the epoch to know its own lease again.
    pub token: u128,
}

/// How much one `fetch` may hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Messages, at least 1.
    pub messages: usize,
}

/// A message that waits for its next attempt, or behind one that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedMessage {
    /// Its place in the log.
    pub seq: i64,
    /// Its ordering key.
    pub key: Option<String>,
    /// Attempts so far; 0 for one that only waits behind another.
    pub attempts: u32,
    /// The time from now to the next attempt.
    pub due_in: Duration,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// What became of messages that were handed out.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// Delivered, and handed out by `fetch`.
    pub delivered: SeqSet,
    /// To be kept for a later attempt. A message may be parked again with new figures.
    pub parked: Vec<ParkedMessage>,
    /// Delivered, and parked before.
    pub unparked: Vec<i64>,
    /// Given up on, parked before or not.
    pub dead: Vec<DeadLetter>,
}

impl Settlement {
    /// Whether it only renews the lease.
    pub fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.parked.is_empty() && self.unparked.is_empty() && self.dead.is_empty()
    }
}

/// A message to be given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place in the log.
    pub seq: i64,
    /// Why.
    pub reason: String,
    /// Attempts made.
    pub attempts: u32,
}
