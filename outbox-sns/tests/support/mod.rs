//! How the tests use the transport: as the relay does.

use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_core::{Batch, BatchBuilder, Outcomes, Row, Transport};

/// A message of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) event_type: String,
    pub(crate) content_type: Option<String>,
    pub(crate) payload: Vec<u8>,
    pub(crate) headers: Option<String>,
}

impl Sample {
    pub(crate) fn new(topic: &str, key: Option<&str>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            key: key.map(str::to_owned),
            event_type: "order.created".into(),
            content_type: None,
            payload: payload.into(),
            headers: None,
        }
    }
}

/// With the ids `first`, `first + 1`, ...
pub(crate) fn batch(first: i64, samples: &[Sample]) -> Batch {
    let mut batch = BatchBuilder::new();
    for (seq, s) in (first..).zip(samples) {
        batch.push(&Row {
            seq,
            id: seq as u128,
            created_at: 0,
            topic: &s.topic,
            key: s.key.as_deref(),
            event_type: &s.event_type,
            payload: &s.payload,
            content_type: s.content_type.as_deref(),
            headers: s.headers.as_deref(),
        });
    }
    batch.finish()
}

/// Within a deadline, after which the future is dropped and the outcomes are closed.
pub(crate) async fn publish(transport: &impl Transport, batch: &Batch) -> Vec<Outcome> {
    let out = Outcomes::new(batch.len());
    _ = tokio::time::timeout(Duration::from_secs(30), transport.publish(batch.clone(), &out)).await;
    out.close();
    (0..out.len()).map(|i| out.get(i)).collect()
}
