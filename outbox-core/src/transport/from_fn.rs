use std::fmt;
use std::future::Future;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::{Outcomes, Transport, TransportCapabilities};
use crate::{Batch, BoxError, MessageRef};

/// A closure as a transport: called once a message; `Ok` is delivered, an error is retried. It is called for all messages
/// of a batch at once, batch after batch: where 500 calls are too many, set [`batch`](crate::RelayBuilder::batch) lower.
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
        TransportCapabilities::new().publishes(1)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let mut calls: FuturesUnordered<_> = batch
            .iter()
            .map(|m| {
                let (index, call) = (m.index(), (self.publish)(m));
                async move { (index, call.await) }
            })
            .collect();
        while let Some((index, result)) = calls.next().await {
            match result {
                Ok(()) => out.delivered(index),
                Err(e) => out.unknown(index, e),
            }
        }
    }
}
