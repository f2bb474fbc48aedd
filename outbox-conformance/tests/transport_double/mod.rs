//! A broker in memory and transports to it, right and wrong ones.

mod broker;
mod bug;
mod net;

use std::sync::Arc;
use std::time::Duration;

use outbox_conformance::transport::{Faults, Stored, TransportHarness};
use outbox_core::{KeyOrder, Message};

pub(crate) use broker::Broker;
pub(crate) use bug::Bug;
pub(crate) use net::Net;

/// `GAPLESS`: whether the transport takes many of a key at once.
#[derive(Debug)]
pub(crate) struct Double<const GAPLESS: bool> {
    broker: Broker,
    bug: Bug,
}

impl<const GAPLESS: bool> Double<GAPLESS> {
    pub(crate) fn new(bug: Bug) -> Self {
        Self { broker: Broker::new(), bug }
    }
}

impl<const GAPLESS: bool> TransportHarness for Double<GAPLESS> {
    type Transport = Net;

    const DEADLINE: Duration = Duration::from_secs(2);

    async fn start() -> Self {
        Self::new(Bug::None)
    }

    async fn transport(&self) -> Net {
        let order = if GAPLESS { KeyOrder::Gapless } else { KeyOrder::OneInFlight };
        Net::new(self.broker.clone(), order, self.bug)
    }

    async fn stored(&self) -> Vec<Stored> {
        self.broker.read()
    }

    async fn faults(&mut self) -> Option<Arc<dyn Faults>> {
        Some(Arc::new(self.broker.clone()))
    }

    async fn poison(&self) -> Option<Message> {
        Some(Message::new("orders", "order.created").text(broker::POISON))
    }

    async fn nowhere(&self) -> Option<String> {
        Some(broker::NOWHERE.into())
    }
}
