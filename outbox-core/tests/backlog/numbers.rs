use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use outbox_core::{
    AcquireRequest, Acquired, Batch, BatchBuilder, FetchLimits, Lease, ParkedMessage, Row, Settlement, Store,
    StoreCapabilities, StoreError, async_trait,
};

/// So many messages that are made when they are read, so that only what the relay holds takes memory. One lease.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    messages: i64,
    key: fn(i64) -> String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    read: i64,
    /// Read, and neither settled nor parked.
    held: usize,
    parked: BTreeMap<i64, ParkedMessage>,
}

impl Numbers {
    pub(crate) fn new(messages: usize, key: fn(i64) -> String) -> Self {
        let messages = i64::try_from(messages).expect("few enough");
        Self(Arc::new(Inner { messages, key, state: Mutex::default() }))
    }

    pub(crate) fn held(&self) -> usize {
        self.0.state.lock().unwrap().held
    }

    fn batch(&self, seqs: impl Iterator<Item = i64>) -> Batch {
        let mut batch = BatchBuilder::new();
        for seq in seqs {
            batch.push(&Row {
                seq,
                id: seq.unsigned_abs().into(),
                created_at: 0,
                topic: "t",
                key: Some(&(self.0.key)(seq)),
                event_type: "e",
                payload: b"payload",
                content_type: None,
                headers: None,
            });
        }
        batch.finish()
    }
}

#[async_trait]
impl Store for Numbers {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::new()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        Ok(Acquired::Yes(Lease { relay: request.relay.clone(), epoch: 1, token: 0 }, Vec::new()))
    }

    async fn fetch(&self, _: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let first = {
            let mut state = self.0.state.lock().unwrap();
            let first = state.read + 1;
            let last = self.0.messages.min(state.read + i64::try_from(limits.messages).expect("few enough"));
            state.read = last;
            state.held += usize::try_from(last - first + 1).expect("not negative");
            first..=last
        };
        Ok(self.batch(first))
    }

    async fn read(&self, _: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        Ok(self.batch(seqs.iter().copied()))
    }

    async fn settle(&self, _: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        let mut state = self.0.state.lock().unwrap();
        let delivered: i64 = settlement.delivered.ranges().iter().map(|(first, last)| last - first + 1).sum();
        state.held -= usize::try_from(delivered).expect("not negative");
        for parked in &settlement.parked {
            if state.parked.insert(parked.seq, parked.clone()).is_none() {
                state.held -= 1;
            }
        }
        for seq in settlement.unparked.iter().chain(settlement.dead.iter().map(|dead| &dead.seq)) {
            if state.parked.remove(seq).is_none() {
                state.held -= 1;
            }
        }
        Ok(())
    }

    async fn release(&self, _: &Lease) -> Result<(), StoreError> {
        Ok(())
    }
}
