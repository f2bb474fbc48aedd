//! The relay: carries messages from a store to a transport.
//!
//! What it decides stands in `machine` and its parts, without I/O; `session` is the thin shell that does the I/O.

mod bisect;
mod breaker;
mod builder;
mod check;
mod destinations;
mod error;
mod group;
mod machine;
mod observer;
mod parked;
mod parking;
mod plan;
mod policy;
mod session;
mod store_relay;

pub use builder::{RelayBuilder, RelayConfigError};
pub use error::RelayError;
pub use group::RelayGroup;
pub use observer::{Observer, RelayEvent, RelayHandle, RelayStats};
pub use policy::{OnExhausted, OnFailure, RetryPolicy};
pub use store_relay::StoreRelay;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;

/// When it completes, a relay drains and returns.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that carries messages until it is told to stop.
#[async_trait]
pub trait Relay: Debug + Send + Sync + 'static {
    /// Runs until `shutdown` completes, then finishes what is in flight, settles it and gives the lease up.
    ///
    /// # Errors
    /// Only what no waiting mends: a schema that does not fit, a sequence that went back, a wrong setting. And
    /// [`RelayError::TimedOut`] where the drain took too long: nothing is lost, and a successor waits for the lease.
    ///
    /// # Cancel safety
    /// Dropping it is a crash: nothing is lost, and a successor waits for the lease to expire.
    async fn run_until(&self, shutdown: Shutdown) -> Result<(), RelayError>;

    /// One fetch, and what came with it. For cron jobs and tests. Returns how many messages were delivered.
    ///
    /// # Errors
    /// The first error of the store; [`RelayError::Standby`] where another process holds the lease.
    async fn run_once(&self) -> Result<u64, RelayError>;

    /// Runs until nothing is left to deliver. Returns how many messages were delivered. Waits for a lease that another
    /// process holds and for a database that is away.
    ///
    /// # Errors
    /// As [`run_until`](Self::run_until), and [`RelayError::TimedOut`]: what was in flight was settled.
    async fn until_drained(&self, timeout: Duration) -> Result<u64, RelayError>;

    /// Figures while it runs.
    fn handle(&self) -> RelayHandle;
}
