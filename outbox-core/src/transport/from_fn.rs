use std::fmt;
use std::future::Future;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::{Outcomes, Transport, TransportCapabilities};
use crate::{Batch, BoxError, MessageRef};

/// Calls of one publish that are under way at once.
const AT_ONCE: usize = 32;

/// A closure as a transport: called once a message; `Ok` is delivered, an error is retried. At most 32 calls of a publish
/// are under way at once, of all publishes of a relay 256; a [`ConcurrencyLimitLayer`](crate::layer::ConcurrencyLimitLayer)
/// makes it fewer.
///
/// ```
/// use outbox_core::{MessageRef, transport};
///
/// let printer = transport::from_fn(|m: MessageRef<'_>| {
///     let text = String::from_utf8_lossy(m.payload()).into_owned();
///     async move {
///         println!("{text}");
///         Ok(())
///     }
/// });
/// ```
pub fn from_fn<F, Fut>(publish: F) -> FromFn<F>
where
    F: Fn(MessageRef<'_>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    FromFn { publish }
}

/// See [`from_fn`].
pub struct FromFn<F> {
    publish: F,
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

#[async_trait]
impl<F, Fut> Transport for FromFn<F>
where
    F: Fn(MessageRef<'_>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let (mut calls, mut rest) = (FuturesUnordered::new(), batch.iter());
        loop {
            while calls.len() < AT_ONCE
                && let Some(m) = rest.next()
            {
                let (index, call) = (m.index(), (self.publish)(m));
                calls.push(async move { (index, call.await) });
            }
            let Some((index, result)) = calls.next().await else { return };
            match result {
                Ok(()) => out.delivered(index),
                Err(e) => out.unknown(index, e),
            }
        }
    }
}
