use std::time::Duration;

use outbox_core::{Message, Store, StoreError};

/// The length of the suite's leases, on the store's clock.
pub const LEASE: Duration = Duration::from_secs(30);

/// What the suite needs of a store: constructors, the writers' side, and a way to let a lease grow old.
///
/// Every case makes a harness of its own. Write the methods as `async fn`; a panic in one of them fails the case.
pub trait StoreHarness: Sized {
    /// The reading side.
    type Store: Store;
    /// A transaction of the application.
    type Tx;

    /// Whether two transactions can have enqueued messages at the same time. Where not, the second one must fail in
    /// `enqueue`, soon.
    const CONCURRENT_WRITERS: bool;

    /// A fresh, empty store that no other case can see.
    fn start() -> impl Future<Output = Self>;

    /// The store, as a process of its own would open it: what one of them remembers the next one does not know.
    fn store(&self) -> impl Future<Output = Self::Store>;

    /// Begins a transaction.
    fn begin(&self) -> impl Future<Output = Self::Tx>;

    /// Enqueues a message.
    fn enqueue(&self, tx: &mut Self::Tx, message: Message) -> impl Future<Output = Result<(), StoreError>>;

    /// Commits, and signals that there are messages where the store can.
    fn commit(&self, tx: Self::Tx) -> impl Future<Output = Result<(), StoreError>>;

    /// Rolls back.
    fn rollback(&self, tx: Self::Tx) -> impl Future<Output = ()>;

    /// Lets the lease of a relay name grow older by `by` at once, as if so much time had passed on the store's clock
    /// without renewal: sets its expiry back, or moves a paused clock on. Its length is [`LEASE`].
    fn age(&self, relay: &str, by: Duration) -> impl Future<Output = ()>;

    /// The dead letters of a relay name, with their reasons, in any order.
    fn dead_letters(&self, relay: &str) -> impl Future<Output = Vec<(Message, String)>>;

    /// Makes a savepoint, enqueues a message and rolls back to the savepoint. Default: `false`, there are none.
    fn savepoint(&self, _tx: &mut Self::Tx, _message: Message) -> impl Future<Output = Result<bool, StoreError>> {
        async { Ok(false) }
    }

    /// Deletes what every relay name has settled, however young. Default: `false`, the store has no retention.
    fn retain(&self) -> impl Future<Output = bool> {
        async { false }
    }

    /// Removes all messages and lets their sequence begin anew. Default: `false`, that cannot happen to this store.
    fn rewind(&self) -> impl Future<Output = bool> {
        async { false }
    }
}
