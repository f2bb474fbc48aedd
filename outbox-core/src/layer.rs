//! Layers around a transport: time limits, rates, tracing, paced catch-up.
//!
//! They are [`tower_layer::Layer`]s, so they compose as users of tower expect, and `tower::ServiceBuilder` takes them
//! as it takes its own. [`TransportExt::layer`] does without tower: a chain in which each layer goes around what stands
//! before it, so that **the last one is the outermost**.
//!
//! ```
//! use std::time::Duration;
//!
//! use outbox_core::layer::{CatchUpLayer, ConcurrencyLimitLayer, TimeoutLayer, TraceLayer, TransportExt};
//! use outbox_core::memory::MemoryTransport;
//!
//! # let kafka = MemoryTransport::new();
//! let transport = kafka
//!     .layer(TimeoutLayer::new(Duration::from_secs(3)))
//!     .layer(ConcurrencyLimitLayer::new(4))
//!     .layer(CatchUpLayer::new(2_000))
//!     .layer(TraceLayer::new());
//! ```
//!
//! With tower the first one is the outermost, and `service` takes the transport:
//!
//! ```
//! use std::time::Duration;
//!
//! use outbox_core::layer::{RateLimitLayer, TimeoutLayer, TraceLayer};
//! use outbox_core::memory::MemoryTransport;
//! use outbox_core::{Batch, Outcomes, Transport};
//!
//! # let kafka = MemoryTransport::new();
//! let transport = tower::ServiceBuilder::new()
//!     .layer(TraceLayer::new())
//!     .layer(RateLimitLayer::new(5_000, Duration::from_secs(1)))
//!     .layer(TimeoutLayer::new(Duration::from_secs(3)))
//!     .service(kafka);
//! # fn is_transport(_: impl Transport) {}
//! # is_transport(transport);
//! ```
//!
//! A closure takes layers as every transport does:
//!
//! ```
//! use std::time::Duration;
//!
//! use outbox_core::layer::{RateLimitLayer, TransportExt};
//! use outbox_core::{MessageRef, transport};
//!
//! let mail = transport::from_fn(|m: MessageRef<'_>| {
//!     let to = m.key().unwrap_or("nobody").to_owned();
//!     async move {
//!         println!("a mail to {to}");
//!         Ok(())
//!     }
//! });
//! let mail = mail.layer(RateLimitLayer::new(600, Duration::from_secs(60)).burst(20));
//! ```
//!
//! # One limit for several transports
//! What was made by one value of a layer, or by its clones, shares the limit: `kafka_a.layer(&limit)` and
//! `kafka_b.layer(&limit)` have one rate together.
//!
//! # Order
//! A layer keeps the contract of [`Transport`], whatever it is around: it declares what the inner transport declares
//! (a limit no more than 8 [`publishes`](crate::TransportCapabilities::publishes)), and publishes reach that in the
//! order of their first polls. Around a [`Gapless`](crate::KeyOrder::Gapless) transport it also keeps `ORDER-3` for
//! what waits in the layer itself: when a publish fails or is dropped, what was first polled behind it is not handed
//! over before all that were under way have ended.
//!
//! # How long a publish may wait
//! The relay drops a publish at its deadline (default 10 s), and one of which nothing was stored is an outage to it:
//! that costs no attempt, but it is an alarm, and what was let through at the last moment comes twice. To a limit the
//! relay has up to 8 publishes of [`batch`](crate::RelayBuilder::batch) messages under way. So it is kept without
//! alarms where `8 * batch / rate` is well below the deadline: with the default batch of 500 from some 800 messages a
//! second on; for 50 a second set a batch of 30. [`CatchUpLayer`] alone bounds its wait by itself.

mod bucket;
mod catch_up;
mod concurrency_limit;
mod line;
mod part;
mod rate_limit;
mod timeout;
mod trace;

pub use catch_up::{CatchUp, CatchUpLayer};
pub use concurrency_limit::{ConcurrencyLimit, ConcurrencyLimitLayer};
pub use rate_limit::{RateLimit, RateLimitLayer};
pub use timeout::{Timeout, TimeoutLayer};
pub use trace::{Trace, TraceLayer};

/// What puts something around a transport: of the crate `tower-layer`, re-exported so that a layer of one's own needs
/// no dependency.
pub use tower_layer::Layer;

use crate::transport::PUBLISHES;
use crate::{Transport, TransportCapabilities};

/// [`layer`](Self::layer) for every transport.
pub trait TransportExt: Transport + Sized {
    /// This transport with a layer around it. To share a limit, give a reference or a clone of the layer.
    fn layer<L>(self, layer: L) -> L::Service
    where
        L: Layer<Self>,
        L::Service: Transport,
    {
        layer.layer(self)
    }
}

impl<T: Transport> TransportExt for T {}

/// A layered transport: all but `publish` is the inner transport's, and that is `forward`. `paced`: what is under way
/// waits in the layer, so that more of it only waits longer.
macro_rules! transport {
    ($layered:ident $(, $paced:ident)?) => {
        #[async_trait::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: crate::Transport> crate::Transport for $layered<T> {
            fn capabilities(&self) -> crate::TransportCapabilities {
                let declared = self.inner.capabilities();
                $(let declared = crate::layer::$paced(declared);)?
                declared
            }

            async fn publish(&self, batch: crate::Batch, out: &crate::Outcomes) {
                self.forward(batch, out).await;
            }

            async fn check(&self, topics: &[String]) -> Result<Vec<crate::Finding>, crate::BoxError> {
                self.inner.check(topics).await
            }

            async fn close(&self) -> Result<(), crate::BoxError> {
                self.inner.close().await
            }
        }
    };
}
use transport;

fn paced(declared: TransportCapabilities) -> TransportCapabilities {
    declared.publishes(declared.publishes.min(PUBLISHES))
}
