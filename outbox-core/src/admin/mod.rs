//! What people do about a store that runs: dead letters, blocked keys, pauses.

mod dead_message;
mod filter;
mod orders;
mod waiting_message;

use std::fmt::Debug;

use async_trait::async_trait;

pub use dead_message::DeadMessage;
pub use filter::DeadLetterFilter;
pub use orders::{Orders, Paused};
pub use waiting_message::WaitingMessage;

use crate::{MessageId, StoreError};

/// The desk of a store, from [`Store::admin`](crate::Store::admin): dead letters, messages that wait, pauses.
///
/// Every call is a transaction of its own, or several that each leave things whole, and needs no lease. A relay that
/// runs notices within a second: it finishes what is in flight, and goes on by what it finds then.
///
/// # Errors
/// `Config` for a relay name that nobody ever ran, `Schema` where the tables are missing or of another version,
/// `Unavailable` without a database.
///
/// # Cancel safety
/// The change was made or not; of many messages, some of them.
#[async_trait]
pub trait Admin: Debug + Send + Sync + 'static {
    /// The dead letters that the filter names, by relay and then by their place in the log: at most `limit`, those
    /// behind `after`, which is the last one of the page before.
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&DeadMessage>,
        limit: usize,
    ) -> Result<Vec<DeadMessage>, StoreError>;

    /// Has dead letters delivered again by the relay that gave them up, with all their attempts; those of a key in
    /// their order, and ahead of what waits behind them. Other relays that have passed their place do not see them.
    /// `per_second`: at most so many of each relay, from now on. Returns how many. Those of a relay that was dropped
    /// stay; where there are no others, that is an error.
    ///
    /// What else of the key was delivered meanwhile stays so: it came first.
    async fn replay(&self, filter: &DeadLetterFilter, per_second: Option<u32>) -> Result<u64, StoreError>;

    /// Deletes dead letters, also those of a relay that was dropped. Returns how many. Those that a relay's cursor has
    /// not passed for good are left out, which may be so for some seconds.
    async fn discard(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError>;

    /// Messages of a relay that failed, or wait for their topic, or behind one that does: at most `limit`, by their
    /// place in the log, those behind `after`.
    async fn waiting(
        &self,
        relay: &str,
        after: Option<&WaitingMessage>,
        limit: usize,
    ) -> Result<Vec<WaitingMessage>, StoreError>;

    /// Gives those of this key, or all, every attempt anew, the first one at once. Returns how many. One that is being
    /// tried at that moment may be written back with its old figures, or become a dead letter with its last attempt.
    async fn retry(&self, relay: &str, key: Option<&str>) -> Result<u64, StoreError>;

    /// Makes a message that waits a dead letter: what waits behind it goes on. Says whether there was one. What it was
    /// sent as before may still arrive at the broker, also behind what goes on.
    async fn give_up(&self, relay: &str, id: MessageId) -> Result<bool, StoreError>;

    /// The relay hands over nothing more, in any process, until it is resumed: messages stay where they are.
    async fn pause(&self, relay: &str) -> Result<(), StoreError>;

    /// Ends a [`pause`](Self::pause).
    async fn resume(&self, relay: &str) -> Result<(), StoreError>;

    /// Messages of this key wait, as behind a failed one, until it is resumed; others go on. They count as parked.
    async fn pause_key(&self, relay: &str, key: &str) -> Result<(), StoreError>;

    /// Ends a [`pause_key`](Self::pause_key).
    async fn resume_key(&self, relay: &str, key: &str) -> Result<(), StoreError>;

    /// Everything that is paused, by relay and key.
    async fn paused(&self) -> Result<Vec<Paused>, StoreError>;
}
