//! The suite for the transports of the core: the one in memory, and a closure.

use std::sync::{Arc, Mutex, PoisonError};

use outbox_conformance::transport::{Stored, TransportHarness};
use outbox_core::memory::MemoryTransport;
use outbox_core::{MessageRef, Transport, transport};

mod memory {
    outbox_conformance::transport_suite!(super::Memory);
}

mod closure {
    outbox_conformance::transport_suite!(super::Closure);
}

#[derive(Default)]
struct Memory {
    transport: MemoryTransport,
    taken: Mutex<Vec<Stored>>,
}

impl TransportHarness for Memory {
    type Transport = MemoryTransport;

    async fn start() -> Self {
        Self::default()
    }

    async fn transport(&self) -> MemoryTransport {
        self.transport.clone()
    }

    async fn stored(&self) -> Vec<Stored> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.extend(self.transport.take().iter().map(Stored::from));
        taken.clone()
    }
}

#[derive(Default)]
struct Closure(Arc<Mutex<Vec<Stored>>>);

impl TransportHarness for Closure {
    type Transport = Box<dyn Transport>;

    async fn start() -> Self {
        Self::default()
    }

    async fn transport(&self) -> Box<dyn Transport> {
        let list = self.0.clone();
        Box::new(transport::from_fn(move |m: MessageRef<'_>| {
            let (list, m) = (list.clone(), Stored::from(&m));
            async move {
                tokio::task::yield_now().await;
                list.lock().unwrap_or_else(PoisonError::into_inner).push(m);
                Ok(())
            }
        }))
    }

    async fn stored(&self) -> Vec<Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
