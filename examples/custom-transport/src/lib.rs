//! A transport of one's own: each message is posted to a URL.

use futures_util::{StreamExt, stream};
use outbox::{Batch, MessageRef, Outcomes, Transport, TransportCapabilities, async_trait};
use reqwest::{Client, Error, StatusCode};

/// Posts each message, with its id as `idempotency-key`.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Keeps connections open, and makes new ones where they broke.
    pub client: Client,
    /// Where to.
    pub url: String,
}

impl Webhook {
    async fn post(&self, m: MessageRef<'_>) -> Result<StatusCode, Error> {
        let id = m.id().to_string();
        let mut request = self.client.post(&self.url).header("idempotency-key", id).header("x-topic", m.topic());
        let parts = [("x-key", m.key()), ("content-type", m.content_type()), ("x-headers", m.headers_json())];
        for (name, value) in parts {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        Ok(request.header("x-event-type", m.event_type()).body(m.payload_bytes()).send().await?.status())
    }
}

#[async_trait]
impl Transport for Webhook {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().max_payload(1 << 20)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let batch = &batch;
        let posts = (0..batch.len()).map(|i| async move { (i, self.post(batch.get(i)).await) });
        let mut answers = stream::iter(posts).buffer_unordered(32);
        while let Some((i, answer)) = answers.next().await {
            match answer {
                Ok(status) if status.is_success() => out.delivered(i),
                Ok(StatusCode::UNPROCESSABLE_ENTITY) => out.reject(i, "422: the receiver can never take it"),
                Ok(StatusCode::NOT_FOUND) => out.destination(i, "404: the receiver does not know the topic"),
                Ok(status) => out.unknown(i, status.to_string()),
                Err(e) if e.is_builder() => out.reject(i, e), // No form in HTTP, such as a line break in a header.
                Err(e) => out.unknown(i, e),
            }
        }
    }
}
