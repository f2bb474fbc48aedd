//! The contract between the relay and a broker's client.

mod capabilities;
mod from_fn;
mod outcomes;

pub use capabilities::{KeyOrder, TransportCapabilities};
pub use from_fn::{FromFn, from_fn};
pub use outcomes::{Outcome, Outcomes, SlotIndex};

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Batch, BoxError};

/// Carries messages to a broker, and says of each what became of it.
///
/// # Contract
/// - `CONFIRM-1` [`delivered`](Outcomes::delivered) is said only on the broker's own acknowledgement of that message.
/// - `CONFIRM-2` [`reject`](Outcomes::reject) is said only of a message that this broker can never store.
/// - `CONFIRM-3` Everything else is [`unknown`](Outcomes::unknown), and so is a message nothing was said of when
///   `publish` returns, is cancelled or panics. What is said later is ignored.
/// - `ORDER-1` With [`KeyOrder::OneInFlight`] nothing: a key is never twice in what was handed over and not answered.
/// - `ORDER-2` With [`KeyOrder::Gapless`] messages are stored in the order handed over, the order in which the
///   `publish` futures are first polled; and if a message is `unknown`, no later one of its key is stored afterwards.
/// - `LIMITS-1` A message over [`TransportCapabilities::limits`] never reaches `publish`: the relay makes it a dead letter.
///
/// Several `publish` calls run at once. The relay bounds each by its publish deadline, then drops the future.
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

    /// Ends connections after the last `publish`. Default: nothing.
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

            async fn close(&self) -> Result<(), BoxError> {
                (**self).close().await
            }
        }
    };
}
forward!(Arc<T>);
forward!(Box<T>);
