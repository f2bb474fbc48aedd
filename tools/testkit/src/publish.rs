use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_core::{Batch, Outcomes, Transport};

/// Publishes as the relay does: within a deadline, after which the future is dropped and the outcomes are closed.
pub async fn publish(transport: &impl Transport, batch: &Batch, deadline: Duration) -> Vec<Outcome> {
    let out = Outcomes::new(batch.len());
    drop(tokio::time::timeout(deadline, transport.publish(batch.clone(), &out)).await);
    out.close();
    (0..out.len()).map(|i| out.get(i)).collect()
}
