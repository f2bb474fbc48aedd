use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Batch, MessageId, MessageRef, Outcomes, Transport, TransportCapabilities};

/// Keeps what it is given. Cheap to clone: all clones share what was sent.
#[derive(Debug, Clone, Default)]
pub struct MemoryTransport {
    sent: Arc<Mutex<Vec<SentMessage>>>,
}

/// A message as [`MemoryTransport`] received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    id: MessageId,
    topic: String,
    key: Option<String>,
    event_type: String,
    payload: Bytes,
    content_type: Option<String>,
    headers: Vec<(String, String)>,
}

impl SentMessage {
    fn new(m: &MessageRef<'_>) -> Self {
        Self {
            id: m.id(),
            topic: m.topic().into(),
            key: m.key().map(str::to_owned),
            event_type: m.event_type().into(),
            payload: Bytes::copy_from_slice(m.payload()),
            content_type: m.content_type().map(str::to_owned),
            headers: m.headers().unwrap_or_default(),
        }
    }

    /// The id to deduplicate by.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The ordering key.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The event type.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload's media type.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The headers.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }
}

impl MemoryTransport {
    /// Nothing sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was sent since the last call, in order.
    pub fn take(&self) -> Vec<SentMessage> {
        std::mem::take(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        for m in batch.iter() {
            sent.push(SentMessage::new(&m));
            out.delivered(m);
        }
    }
}
