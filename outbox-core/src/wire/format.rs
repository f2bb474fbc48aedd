use std::sync::Arc;

use bytes::Bytes;

use super::cloud_events::Event;
use super::{Binding, CONTENT_TYPE, EVENT_TYPE, MESSAGE_ID, MESSAGE_KEY, source};
use crate::{InvalidMessage, MessageRef};

/// How a message becomes payload and headers. Default: [`raw`](Self::raw).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireFormat(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Raw,
    Binary(Arc<str>),
    Structured(Arc<str>),
}

/// A wire format that cannot work; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the source of CloudEvents, {source_text:?}, {problem}: give a URI-reference, such as \"/orders\" or \"urn:orders\""
)]
pub struct WireFormatError {
    source_text: String,
    problem: &'static str,
}

/// A message as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// The body.
    pub payload: Bytes,
    /// The body's media type, which is in no header.
    pub content_type: Option<String>,
    /// Names are unique (but perhaps for their case); those of the format come first, then the message's own.
    pub headers: Vec<(String, String)>,
}

impl WireFormat {
    /// The payload as it is. Headers: [`MESSAGE_ID`], [`EVENT_TYPE`], perhaps [`MESSAGE_KEY`], and the message's own;
    /// one of its own with such a name is left out.
    pub const fn raw() -> Self {
        Self(Kind::Raw)
    }

    /// CloudEvents 1.0 in binary mode: the payload as it is, the attributes as headers with the binding's prefix.
    /// `source` is the producer, a URI-reference; see [`check`](Self::check).
    ///
    /// | attribute | is |
    /// |---|---|
    /// | `id` | the message id |
    /// | `source` | `source` |
    /// | `specversion` | `1.0` |
    /// | `type` | the event type |
    /// | `time` | when the message was enqueued, RFC 3339, UTC, with microseconds |
    /// | `datacontenttype` | the content type, where there is one; in its own place |
    /// | `partitionkey` | the ordering key, where there is one |
    ///
    /// A header of the message whose name is a legal one for an attribute (`a-z`, `0-9`) **becomes that attribute**:
    /// `subject`, `dataschema` (a URI), or an extension of one's own. All others stay headers as they are, and so do
    /// those that are named like an attribute of the table, are empty, or have control characters. `traceparent` and
    /// `tracestate` are both: the extension of CloudEvents, and the header that tracing looks for. A header that
    /// already has the binding's prefix, or is `content-type`, is left out.
    ///
    /// ```
    /// use outbox_core::wire::WireFormat;
    ///
    /// let format = WireFormat::cloud_events_binary("/shop/orders");
    /// format.check()?;
    /// # Ok::<(), outbox_core::wire::WireFormatError>(())
    /// ```
    pub fn cloud_events_binary(source: impl Into<String>) -> Self {
        Self(Kind::Binary(source.into().into()))
    }

    /// CloudEvents 1.0 in structured mode: attributes and payload are one JSON object, of the media type
    /// `application/cloudevents+json`. Attributes and headers as in [binary mode](Self::cloud_events_binary).
    ///
    /// By the content type, the payload is in `data` as JSON, byte for byte (`*/json`, `*/*+json`); in `data` as text
    /// (`text/*`, `*/xml`, `*/*+xml`, where it is UTF-8 and not longer that way); or in `data_base64`, as is one without
    /// content type. An empty payload that is no text is no data at all. So the body may be a third larger than the payload,
    /// beside the attributes; see [`max_payload`](Self::max_payload).
    pub fn cloud_events_structured(source: impl Into<String>) -> Self {
        Self(Kind::Structured(source.into().into()))
    }

    /// Whether this is the [raw](Self::raw) format.
    pub const fn is_raw(&self) -> bool {
        matches!(self.0, Kind::Raw)
    }

    /// The largest payload, in bytes, of which a body of this length can be made. In structured mode three quarters of it:
    /// a payload may have to be base64. A transport declares its limit by it.
    pub fn max_payload(&self, body: usize) -> usize {
        match self.0 {
            Kind::Raw | Kind::Binary(_) => body,
            Kind::Structured(_) => body / 4 * 3,
        }
    }

    /// Whether it can work. A transport asks when it is made.
    ///
    /// # Errors
    /// Where the source of CloudEvents is empty or no URI-reference (RFC 3986).
    pub fn check(&self) -> Result<(), WireFormatError> {
        match &self.0 {
            Kind::Raw => Ok(()),
            Kind::Binary(source) | Kind::Structured(source) => source::check(source)
                .map_err(|problem| WireFormatError { source_text: source.chars().take(80).collect(), problem }),
        }
    }

    /// The message in this format.
    ///
    /// # Errors
    /// When the headers are no JSON object, or the message has no form in this format: as CloudEvent, one with control
    /// characters in its event type, key or content type; in structured mode, one that is declared as JSON and is none.
    pub fn encode(&self, m: &MessageRef<'_>, binding: &Binding) -> Result<Encoded, InvalidMessage> {
        let own = m.headers()?;
        match &self.0 {
            Kind::Raw => Ok(raw(m, own, binding)),
            Kind::Binary(source) => Ok(Event::new(m, own, source, binding)?.binary()),
            Kind::Structured(source) => Event::new(m, own, source, binding)?.structured(),
        }
    }
}

fn raw(m: &MessageRef<'_>, own: Vec<(String, String)>, binding: &Binding) -> Encoded {
    let mut headers = Vec::with_capacity(own.len() + 3);
    headers.push((MESSAGE_ID.to_owned(), m.id().to_string()));
    headers.push((EVENT_TYPE.to_owned(), m.event_type().to_owned()));
    let in_header = binding.has_key_in_header();
    if let Some(key) = m.key().filter(|_| in_header) {
        headers.push((MESSAGE_KEY.to_owned(), key.to_owned()));
    }
    let taken = |name: &str| [MESSAGE_ID, EVENT_TYPE, CONTENT_TYPE].contains(&name) || in_header && name == MESSAGE_KEY;
    headers.extend(own.into_iter().filter(|(name, _)| !taken(name)));
    Encoded { payload: m.payload_bytes(), content_type: m.content_type().map(str::to_owned), headers }
}
