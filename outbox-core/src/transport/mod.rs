//! The contract between the relay and a broker's client.

mod capabilities;
mod finding;
mod from_fn;
mod outcomes;

pub(crate) use capabilities::PUBLISHES;
pub use capabilities::{KeyOrder, TransportCapabilities};
pub use finding::Finding;
pub use from_fn::{FromFn, from_fn};
pub use outcomes::{Outcome, Outcomes, SlotIndex};

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Batch, BoxError};

/// Carries messages to a broker, and says of each what became of it.
///
/// # Contract
/// - `CONFIRM-1` `delivered` is said only on the broker's own acknowledgement of that message: what is delivered is
///   stored.
/// - `CONFIRM-2` `reject` is said only of a message that this broker can never store, `destination` only of a topic
///   that it does not have or refuses: a broker that cannot be reached is neither.
/// - `CONFIRM-3` Everything else is `unknown`, a lost reply above all, and can be sent again. So is a message nothing
///   was said of when `publish` returns, is cancelled or panics; what is said later is ignored.
/// - `CONFIRM-4` A message that the broker refuses is refused with the reason and costs only itself: its neighbours are
///   delivered, at the latest when they are sent again.
/// - `CONFIRM-5` Several `publish` calls run at once; what is said in each is about its own messages.
/// - `CONTENT-1` The payload is stored byte for byte, an empty one too.
/// - `CONTENT-2` The message id is stored as it is, where consumers find it to deduplicate by.
/// - `CONTENT-3` Topic, key, event type and content type are stored as they are; no key is not an empty key.
/// - `CONTENT-4` The headers are stored, names and values as they are.
/// - `DEDUP-1` A message that is sent again within the declared `dedup_window` is stored once.
/// - `ORDER-1` A message that is handed over after another of its key was delivered is stored behind it. With
///   `KeyOrder::OneInFlight` that is all: the relay hands over the next of a key only then.
/// - `ORDER-2` With `KeyOrder::Gapless` messages are stored in the order handed over: the order in which the `publish`
///   futures are first polled, and within a batch its own.
/// - `ORDER-3` With `KeyOrder::Gapless`, if a message is `unknown`, or its `destination` failed, no later one of its
///   key and topic is stored before it was sent again, until every `publish` that was under way has returned.
/// - `LIMITS-1` A message over the declared `limits` never reaches `publish`: the relay makes it a dead letter.
/// - `LIMITS-2` A message within the declared `limits` is stored, at the very bound of each too.
/// - `LIMITS-3` Whatever a message contains, `publish` does not panic or hang: the message is stored as it is, or
///   refused with the reason, and its neighbours are delivered.
/// - `RECOVER-1` When connections are cut, what was not delivered can be sent again by the same transport, and the
///   order of each key's first copies is kept.
/// - `RECOVER-2` When the broker comes back after an outage, the same transport delivers again by itself.
/// - `RECOVER-3` A transport is made while its broker is absent, and delivers when it is there.
/// - `CANCEL-1` A `publish` may be dropped at any time, such as at the relay's deadline: the transport stays usable,
///   and what was handed over arrives as a duplicate at most, in order.
/// - `CLOSE-1` `close` after the last `publish` loses nothing, and may be called again.
/// - `CLOSE-2` After `close` nothing is said to be delivered that is not stored.
/// - `CLOSE-3` What is published after `close` is delivered: a relay may be run again, and several may have one
///   transport.
/// - `DECLARE-1` `capabilities` says the same whenever it is asked.
///
/// The relay polls each `publish` once when it decides on it, before it looks at the outcome of any other, and bounds
/// it by its deadline, then drops the future. `outbox-conformance` has a test for every clause.
///
/// # Example
/// ```
/// use outbox_core::{Batch, KeyOrder, Outcomes, Transport, TransportCapabilities, async_trait};
///
/// #[derive(Debug)]
/// struct Printer;
///
/// #[async_trait]
/// impl Transport for Printer {
///     fn capabilities(&self) -> TransportCapabilities {
///         TransportCapabilities::new().key_order(KeyOrder::OneInFlight).max_payload(1 << 20)
///     }
///
///     async fn publish(&self, batch: Batch, out: &Outcomes) {
///         for m in batch.iter() {
///             println!("{} {}", m.event_type(), String::from_utf8_lossy(m.payload()));
///             out.delivered(m);
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Transport: Debug + Send + Sync + 'static {
    /// What this transport can do.
    fn capabilities(&self) -> TransportCapabilities;

    /// Hands the batch to the broker and says in `out` what became of each message.
    ///
    /// # Cancel safety
    /// May be dropped at any time; what was handed over by then may still arrive, as a duplicate at most.
    async fn publish(&self, batch: Batch, out: &Outcomes);

    /// Looks whether the broker is ready for what will be published: whether destinations exist and are durable, whether
    /// its limits and windows are those that were declared. `topics` are the relay's exact topics; of prefixes nothing
    /// is known before their messages come. The relay asks once per process, when it first has the lease, in a task
    /// beside its work and bounded by the publish deadline. It warns of each finding; none stops it. Declares
    /// destinations where the transport is set to. Default: nothing.
    ///
    /// # Errors
    /// When the broker could not be asked. The relay asks again when the broker is back after an outage.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        _ = topics;
        Ok(Vec::new())
    }

    /// Ends connections after the last `publish` of a relay. What is published later connects anew. Default: nothing.
    ///
    /// # Errors
    /// For the log only: nothing is lost by then.
    async fn close(&self) -> Result<(), BoxError> {
        Ok(())
    }
}

macro_rules! forward {
    ($ty:ty) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Transport + ?Sized> Transport for $ty {
            fn capabilities(&self) -> TransportCapabilities {
                (**self).capabilities()
            }

            async fn publish(&self, batch: Batch, out: &Outcomes) {
                (**self).publish(batch, out).await;
            }

            async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
                (**self).check(topics).await
            }

            async fn close(&self) -> Result<(), BoxError> {
                (**self).close().await
            }
        }
    };
}
forward!(Arc<T>);
forward!(Box<T>);
