use bytes::Bytes;

use super::{CONTENT_TYPE, EVENT_TYPE, MESSAGE_ID, MESSAGE_KEY};
use crate::{InvalidMessage, MessageRef};

/// How a message becomes payload and headers. Default: [`raw`](Self::raw).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireFormat(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Raw,
}

/// What one broker's headers look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    prefix: &'static str,
    key: bool,
}

impl Binding {
    /// Attributes of CloudEvents get this prefix, by the protocol binding of the broker: `ce_`, `ce-`, `cloudEvents:`.
    pub const fn new(prefix: &'static str) -> Self {
        Self { prefix, key: false }
    }

    /// The broker has no place of its own for the ordering key: it goes into a header.
    #[must_use]
    pub const fn key_in_header(mut self) -> Self {
        self.key = true;
        self
    }

    /// The prefix of the attributes of CloudEvents.
    pub const fn prefix(&self) -> &'static str {
        self.prefix
    }
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

    /// Whether this is the [raw](Self::raw) format.
    pub const fn is_raw(&self) -> bool {
        matches!(self.0, Kind::Raw)
    }

    /// The message in this format.
    ///
    /// # Errors
    /// When the headers are no JSON object, or the message has no form in this format.
    pub fn encode(&self, m: &MessageRef<'_>, binding: &Binding) -> Result<Encoded, InvalidMessage> {
        let own = m.headers()?;
        match self.0 {
            Kind::Raw => Ok(raw(m, own, binding)),
        }
    }
}

fn raw(m: &MessageRef<'_>, own: Vec<(String, String)>, binding: &Binding) -> Encoded {
    let mut headers = Vec::with_capacity(own.len() + 3);
    headers.push((MESSAGE_ID.to_owned(), m.id().to_string()));
    headers.push((EVENT_TYPE.to_owned(), m.event_type().to_owned()));
    if let Some(key) = m.key().filter(|_| binding.key) {
        headers.push((MESSAGE_KEY.to_owned(), key.to_owned()));
    }
    let taken =
        |name: &str| [MESSAGE_ID, EVENT_TYPE, CONTENT_TYPE].contains(&name) || binding.key && name == MESSAGE_KEY;
    headers.extend(own.into_iter().filter(|(name, _)| !taken(name)));
    Encoded { payload: m.payload_bytes(), content_type: m.content_type().map(str::to_owned), headers }
}
