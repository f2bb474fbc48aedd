//! The contract between the relay and whatever keeps the messages.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::admin::{Admin, Orders};
use crate::{Batch, SeqSet, StoreError, TopicFilter};

/// Where messages are kept and handed out, to one holder of a lease at a time.
///
/// The relay calls `fetch`, `read` and `settle` concurrently, each at most once at a time.
///
/// # Contract
/// `outbox-conformance` has a test for every clause: `store_suite!(Harness)`.
///
/// Writing, whatever its API:
/// - `ATOMIC-1` A message can be handed out when its transaction has committed, and not before.
/// - `ATOMIC-2` What was enqueued in a transaction that was rolled back is never handed out.
/// - `ATOMIC-3` What was enqueued behind a savepoint that was rolled back is never handed out; the rest of its
///   transaction is.
/// - `ATOMIC-4` A message out of the limits is refused at enqueue with `InvalidMessage`; the transaction goes on.
///
/// Leases:
/// - `LEASE-1` At most one lease per relay name is valid at any time; the store's own clock decides.
/// - `LEASE-2` Every call with a lease that is no longer valid fails with `LeaseLost` and changes nothing.
/// - `LEASE-3` A released name can be acquired at once.
/// - `LEASE-4` A lease that was not renewed for its length can be taken over by another owner.
/// - `LEASE-5` The same owner can take its own lease over at once.
/// - `LEASE-6` The epoch rises with every acquisition of a name.
/// - `LEASE-7` `Held` tells at most the time that the lease still holds.
/// - `LEASE-8` Leases of different names do not touch each other.
///
/// Handing out:
/// - `FETCH-1` Every committed message is handed out by `fetch` exactly once within a lease, unless it was settled
///   before.
/// - `FETCH-2` Of two messages of one key, the one whose enqueue began after the other's commit is handed out later;
///   those of one transaction keep their order.
/// - `FETCH-3` After `acquire`, what an earlier lease handed out and did not settle is handed out before anything
///   newer.
/// - `FETCH-4` A batch holds at most `FetchLimits::messages`, ascending by `seq`.
/// - `FETCH-5` A batch is empty only when nothing is left to hand out.
/// - `FETCH-6` A message that commits late, when one with a later place was handed out, is handed out all the same.
/// - `FETCH-7` A message that commits late, after a takeover, is handed out to the successor.
///
/// Where a relay starts, and what is its own:
/// - `TOPIC-1` Only messages are handed out whose topic the request's filter matches.
/// - `TOPIC-2` With `fan_out`, messages of other topics count as settled.
/// - `START-1` A new name starts with the first message that is kept; one that was held goes on where it stood,
///   whatever it asks for.
/// - `START-2` With `StartAt::Now` a new name is handed out what commits from then on, also what was enqueued before,
///   and nothing else; without `replay`, a store may refuse it with `Config`.
///
/// Settling:
/// - `READ-1` `read` gives the parked messages that it is asked for, whole; a number that no message has is left out.
/// - `SETTLE-1` A settlement is applied as a whole or not at all, and renews the lease.
/// - `SETTLE-2` What was settled is never handed out again; a parked message only by `read`.
/// - `SETTLE-3` A settlement with dead letters is durable when `settle` returns.
/// - `SETTLE-4` A settlement that is repeated changes nothing.
///
/// What is parked, and what is dead:
/// - `PARK-1` `acquire` gives what is parked, ascending by `seq`, with key, attempts, last error and the time to the
///   next attempt.
/// - `PARK-2` Of a message that is parked again, the new figures count.
/// - `PARK-3` What was unparked, parked in the store before or not, is parked no longer, and never handed out again.
/// - `DEAD-1` A dead letter keeps the whole message and the reason.
/// - `DEAD-2` A dead letter is parked no longer, and never handed out again.
///
/// What is kept of a message:
/// - `KEEP-1` A payload is kept byte for byte, whatever its content type.
/// - `KEEP-2` Topic, key, event type, content type and headers are kept as written, in any script; headers in any
///   order.
/// - `KEEP-3` The id is kept; what a message does not have stays absent.
/// - `KEEP-4` `created_at` is the time of the transaction, by the store's clock.
/// - `KEEP-5` Errors and reasons of any text are taken, and at least their first 1,000 characters kept, without NUL.
///
/// Signals, capabilities and calls:
/// - `WAKE-1` Every source of `wakeups` that is waited for completes when a message was committed.
/// - `WAKE-2` A signal that nobody waited for costs nothing.
/// - `FAN-OUT-1` With `fan_out`, every relay name is handed out every message, and settles for itself alone.
/// - `REPLAY-1` With `replay`, a new relay name is handed out what others have settled.
/// - `RETENTION-1` With `retention`, what every relay name has settled can be deleted, and nothing else.
/// - `SEQUENCE-1` When the messages' sequence began anew, `acquire` fails with `SequenceWentBack`.
/// - `CALL-1` `fetch`, `read` and `settle` may run at the same time, each of them once.
/// - `CALL-2` A call that was dropped half-way leaves the name free to be acquired.
/// - `CAPABILITY-1` `capabilities` declares all of `fan_out`, `replay` and `retention` that the store can do.
///
/// Processes that end, where the store keeps that ([`note`](Self::note)); one that does not tells of no crash:
/// - `CRASH-1` A takeover of a lease that another owner did not give up counts as a crash, until something is settled;
///   one of a lease that was given up, or by the same owner, does not.
/// - `CRASH-2` What was noted is told to the next owner after a crash; with an outage noted, no crash is counted.
///
/// The desk, where there is one ([`admin`](Self::admin)):
/// - `ADMIN-1` Dead letters are listed whole, page by page, and filtered by everything that a filter has.
/// - `ADMIN-2` A dead letter that is replayed is parked for its relay alone, at no attempt, and is a dead letter no more.
/// - `ADMIN-3` With a pace, replayed messages become due one after the other, in their order.
/// - `ADMIN-4` A dead letter that was discarded is gone, and never handed out again.
/// - `ADMIN-5` A message that waits is listed; `retry` makes it due at once, at no attempt; `give_up` makes it a dead
///   letter.
/// - `ADMIN-6` Pauses of a relay and of its keys show in `orders` and in `paused`, until they are resumed.
/// - `ADMIN-7` Whatever changes what a relay has to do raises the revision in its `orders`.
/// - `ADMIN-8` With a dead letter is told what its failed attempts ended in, the newest first.
///
/// A lease is valid until it is released or the name is acquired again; whether one that has expired, and that nobody
/// took, can still be used and so renewed is the store's choice. A store may remember what is unsettled as at least 64
/// ranges: what was settled between more of them may come again after a takeover, and [`repeats`](Self::repeats) tells
/// of it.
///
/// # Errors
/// [`is_transient`](StoreError::is_transient) errors are retried by the relay; `LeaseLost` makes it acquire anew. After
/// an error of `settle` the relay acquires anew too: whether it was applied is not known.
///
/// # Cancel safety
/// A call whose future was dropped may have been applied. The relay drops one only together with the lease.
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

    /// About how many messages that are settled would be handed out again if this lease ended by a crash now, because
    /// what is unsettled lies scattered between them. Asked after each settlement, so it must not wait for anything.
    /// While these are more than the relay's window, it fetches nothing. Default: 0.
    fn repeats(&self, lease: &Lease) -> u64 {
        _ = lease;
        0
    }

    /// Signals that there may be new messages. Default: none, so the relay polls.
    fn wakeups(&self) -> Option<Box<dyn Wakeups>> {
        None
    }

    /// How often those who held this lease's name before ended without giving it up, and what they had handed over
    /// last. Asked once, after `acquire`. Default: nobody knows.
    async fn crashes(&self, lease: &Lease) -> Result<Crashes, StoreError> {
        _ = lease;
        Ok(Crashes::default())
    }

    /// Keeps a note for the next holder; durable when it returns. Default: it is not kept.
    async fn note(&self, lease: &Lease, note: Note) -> Result<(), StoreError> {
        _ = (lease, note);
        Ok(())
    }

    /// What was decided at the desk about a relay name, read without a lease, also of a name that nobody ever held. The
    /// relay asks before it acquires, and once a second then. Default: nothing is ever decided.
    async fn orders(&self, relay: &str) -> Result<Orders, StoreError> {
        _ = relay;
        Ok(Orders::default())
    }

    /// The desk. Default: there is none.
    fn admin(&self) -> Option<Arc<dyn Admin>> {
        None
    }
}

macro_rules! forward {
    ($ty:ty) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<S: Store + ?Sized> Store for $ty {
            fn capabilities(&self) -> StoreCapabilities {
                (**self).capabilities()
            }

            async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
                (**self).acquire(request).await
            }

            async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
                (**self).fetch(lease, limits).await
            }

            async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
                (**self).read(lease, seqs).await
            }

            async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
                (**self).settle(lease, settlement).await
            }

            async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
                (**self).release(lease).await
            }

            fn repeats(&self, lease: &Lease) -> u64 {
                (**self).repeats(lease)
            }

            fn wakeups(&self) -> Option<Box<dyn Wakeups>> {
                (**self).wakeups()
            }

            async fn crashes(&self, lease: &Lease) -> Result<Crashes, StoreError> {
                (**self).crashes(lease).await
            }

            async fn note(&self, lease: &Lease, note: Note) -> Result<(), StoreError> {
                (**self).note(lease, note).await
            }

            async fn orders(&self, relay: &str) -> Result<Orders, StoreError> {
                (**self).orders(relay).await
            }

            fn admin(&self) -> Option<Arc<dyn Admin>> {
                (**self).admin()
            }
        }
    };
}
forward!(Arc<S>);
forward!(Box<S>);

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

/// What is known of those who held a name before: see [`Store::crashes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crashes {
    /// Takeovers of a lease that another owner had not given up, since something was settled; but for those during an
    /// outage of the transport.
    pub count: u32,
    /// What the last of them had handed over when it ended, where it noted that.
    pub suspect: Option<i64>,
}

/// What the next holder has to know if this one ends without giving the lease up: see [`Store::note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Note {
    /// The message that is handed over next, alone.
    pub suspect: Option<i64>,
    /// The transport does not answer: whoever ends now ends for that.
    pub outage: bool,
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
    /// Attempts so far; 0 for one that only waits behind another, or for its topic.
    pub attempts: u32,
    /// The time from now to the next attempt.
    pub due_in: Duration,
    /// Why the last attempt failed; of one without attempts, what its topic lacks. To be kept as it is: a takeover goes
    /// by it.
    pub last_error: Option<String>,
}

/// What became of messages that were handed out.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// Delivered, and handed out by `fetch`.
    pub delivered: SeqSet,
    /// To be kept for a later attempt. A message may be parked again with new figures.
    pub parked: Vec<ParkedMessage>,
    /// Delivered, and parked before, if only in the relay's memory.
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
