//! Layers as one would write them at first, each wrong in one way.

use std::sync::{Mutex, PoisonError};

use futures_util::future::join;
use outbox_core::{Batch, BoxError, Outcomes, Transport, TransportCapabilities, async_trait};
use tokio::sync::Mutex as Queue;
use tokio::task::{unconstrained, yield_now};

use super::Layered;
use super::transport_double::Net;

macro_rules! broken {
    ($name:ident { $($field:ident),* }) => {
        impl Layered for $name {
            type Transport = Self;

            fn around(net: Net) -> Self {
                Self { net, $($field: Default::default()),* }
            }
        }

        #[async_trait]
        impl Transport for $name {
            fn capabilities(&self) -> TransportCapabilities {
                self.net.capabilities()
            }

            async fn publish(&self, batch: Batch, out: &Outcomes) {
                self.forward(batch, out).await;
            }

            async fn close(&self) -> Result<(), BoxError> {
                self.net.close().await
            }
        }
    };
}

/// One at a time, and the one that came last first.
#[derive(Debug)]
pub(crate) struct LastFirst {
    net: Net,
    waiting: Mutex<Vec<usize>>,
    turn: Queue<()>,
}

broken!(LastFirst { waiting, turn });

impl LastFirst {
    async fn forward(&self, batch: Batch, out: &Outcomes) {
        let waiting = || self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let me = std::ptr::from_ref(out).addr();
        waiting().push(me);
        let _left = Left(&self.waiting, me);
        let turn = loop {
            yield_now().await;
            if waiting().last() == Some(&me)
                && let Ok(turn) = self.turn.try_lock()
            {
                break turn;
            }
        };
        self.net.publish(batch, out).await;
        drop(turn);
    }
}

struct Left<'a>(&'a Mutex<Vec<usize>>, usize);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| *one != self.1);
    }
}

/// Paces a batch in two parts, of which the smaller has its tokens sooner.
#[derive(Debug)]
pub(crate) struct InParts {
    net: Net,
}

broken!(InParts {});

impl InParts {
    async fn forward(&self, batch: Batch, out: &Outcomes) {
        let middle = batch.len() * 2 / 3;
        let part = async |from: usize, to: usize| {
            let said = Outcomes::new(to - from);
            for _ in from..to {
                yield_now().await;
            }
            let slots = (from..to).map(|i| batch.slot(i)).collect();
            self.net.publish(Batch::from_slots(slots), &said).await;
            (0..said.len()).filter(|i| said.get(*i) == outbox_core::transport::Outcome::Delivered).for_each(|i| {
                out.delivered(from + i);
            });
        };
        join(part(0, middle), part(middle, batch.len())).await;
    }
}

/// First come, first served, whatever became of the one before.
#[derive(Debug)]
pub(crate) struct GoesOn {
    net: Net,
    turn: Queue<()>,
}

broken!(GoesOn { turn });

impl GoesOn {
    async fn forward(&self, batch: Batch, out: &Outcomes) {
        let _turn = unconstrained(self.turn.lock()).await;
        self.net.publish(batch, out).await;
    }
}
