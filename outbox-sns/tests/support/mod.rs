//! How the tests use the transport: as the relay does.

use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_core::{Batch, Transport};
use testkit::Sample;

/// Without content type.
pub(crate) fn sample<'a>(topic: &'a str, key: Option<&'a str>, payload: impl Into<Vec<u8>>) -> Sample<'a> {
    let sample = Sample::new(topic).payload(payload).content_type(None);
    match key {
        Some(key) => sample.key(key),
        None => sample,
    }
}

pub(crate) async fn publish(transport: &impl Transport, batch: &Batch) -> Vec<Outcome> {
    testkit::publish(transport, batch, Duration::from_secs(30)).await
}
