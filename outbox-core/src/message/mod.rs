//! What an application enqueues.

mod due;
mod event;
mod id;

pub use due::Due;
pub use event::{Event, IntoMessage};
pub use id::MessageId;

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::InvalidMessage;

/// A message to be enqueued in the caller's transaction.
///
/// ```
/// use outbox_core::Message;
///
/// let order = serde_json::json!({ "id": 7, "total": 90 });
/// let message = Message::new("orders", "order.created").key(7).json(&order)?;
/// assert_eq!(message.key.as_deref(), Some("7"));
/// # Ok::<(), outbox_core::InvalidMessage>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The deduplication id that every broker carries. Default: a new UUIDv7.
    pub id: MessageId,
    /// Where it goes: a Kafka topic, an exchange, a subject.
    pub topic: String,
    /// Messages of one key keep their order; without a key a message waits for no other.
    pub key: Option<String>,
    /// What happened, such as `order.created`.
    pub event_type: String,
    /// The body, as the broker stores it.
    pub payload: Bytes,
    /// The payload's media type.
    pub content_type: Option<String>,
    /// Names and values; names are unique, the last one wins.
    pub headers: Vec<(String, String)>,
    /// When it is delivered. `None`: as soon as it is committed.
    pub due: Option<Due>,
    /// A second message of the same key is not written, for as long as the outbox remembers the first one.
    pub dedup_key: Option<String>,
}

impl Message {
    /// A message with an empty payload. The parts are checked when it is enqueued (see [`Limits`](crate::Limits)).
    pub fn new(topic: impl Into<String>, event_type: impl Into<String>) -> Self {
        Self {
            id: MessageId::new(),
            topic: topic.into(),
            key: None,
            event_type: event_type.into(),
            payload: Bytes::new(),
            content_type: None,
            headers: Vec::new(),
            due: None,
            dedup_key: None,
        }
    }

    /// Messages of the same key are delivered in the order of their transactions.
    #[must_use]
    pub fn key(mut self, key: impl ToString) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// The payload as JSON, with content type `application/json`.
    ///
    /// # Errors
    /// When `body` cannot be written as JSON (a map with keys that are no strings).
    pub fn json<T: serde::Serialize + ?Sized>(mut self, body: &T) -> Result<Self, InvalidMessage> {
        let json = serde_json::to_vec(body).map_err(|e| {
            InvalidMessage::new(format!("the payload is not JSON ({e})"), "use string keys, or `payload` with bytes")
        })?;
        self.payload = json.into();
        self.content_type = Some("application/json".into());
        Ok(self)
    }

    /// The payload as text, with content type `text/plain; charset=utf-8`.
    #[must_use]
    pub fn text(mut self, body: impl Into<String>) -> Self {
        self.payload = body.into().into();
        self.content_type = Some("text/plain; charset=utf-8".into());
        self
    }

    /// The payload as bytes; the content type stays as it is.
    #[must_use]
    pub fn payload(mut self, body: impl Into<Bytes>) -> Self {
        self.payload = body.into();
        self
    }

    /// The payload's media type.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets a header; one of the same name is replaced.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.headers.retain(|(n, _)| *n != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Delivers it not before this time of the database's clock, and soon after: it takes its place behind the messages
    /// that were written until then, also those of its key. A time that has passed is now. Until it is due it can be
    /// cancelled by its id.
    #[must_use]
    pub fn deliver_at(mut self, time: SystemTime) -> Self {
        self.due = Some(Due::At(time));
        self
    }

    /// As [`deliver_at`](Self::deliver_at), so long after the time of the transaction that writes it (on MySQL, MariaDB
    /// and SQLite: of the statement). At most 100 years.
    #[must_use]
    pub fn deliver_after(mut self, time: Duration) -> Self {
        self.due = Some(Due::After(time));
        self
    }

    /// Writes it once, however often the producer tries: a message of a key that the outbox remembers is not written,
    /// and enqueueing returns the id of the first one. 1 to 255 bytes. It has nothing to do with the ordering
    /// [`key`](Self::key).
    #[must_use]
    pub fn dedup_key(mut self, key: impl ToString) -> Self {
        self.dedup_key = Some(key.to_string());
        self
    }

    /// An id of the caller's own, where an event already has one.
    #[must_use]
    pub fn id(mut self, id: impl Into<MessageId>) -> Self {
        self.id = id.into();
        self
    }

    /// The headers as the JSON object that stores keep, or `None` where there are none.
    pub fn headers_json(&self) -> Option<String> {
        if self.headers.is_empty() {
            return None;
        }
        let map: serde_json::Map<_, _> =
            self.headers.iter().map(|(n, v)| (n.clone(), serde_json::Value::String(v.clone()))).collect();
        Some(serde_json::Value::Object(map).to_string())
    }
}
