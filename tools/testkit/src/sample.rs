use std::borrow::Cow;
use std::ops::Range;

use outbox_core::{Batch, BatchBuilder, Row};

/// When the messages of [`batch`] were enqueued: in microseconds since 1970.
const CREATED_AT: i64 = 1_700_000_000_000_000;

/// A message as tests make it, but for its id: that is its number in the [`batch`].
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    topic: Cow<'a, str>,
    key: Option<Cow<'a, str>>,
    payload: Cow<'a, [u8]>,
    content_type: Option<&'a str>,
    headers: Option<Cow<'a, str>>,
}

impl<'a> Sample<'a> {
    /// An `order.created` of the text `x`, without key and headers.
    #[must_use]
    pub fn new(topic: impl Into<Cow<'a, str>>) -> Self {
        let (topic, payload) = (topic.into(), Cow::Borrowed(&b"x"[..]));
        Self { topic, key: None, payload, content_type: Some("text/plain"), headers: None }
    }

    /// With a key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Cow<'a, str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this payload.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = Cow::Owned(payload.into());
        self
    }

    /// With this text.
    #[must_use]
    pub fn text(self, text: impl ToString) -> Self {
        self.payload(text.to_string())
    }

    /// With another content type, or none.
    #[must_use]
    pub fn content_type(mut self, content_type: Option<&'a str>) -> Self {
        self.content_type = content_type;
        self
    }

    /// With these headers: JSON, or what else another writer left there.
    #[must_use]
    pub fn headers(mut self, json: impl Into<Cow<'a, str>>) -> Self {
        self.headers = Some(json.into());
        self
    }
}

/// Messages with the ids `first`, `first + 1` and so on.
#[must_use]
pub fn batch(first: i64, samples: &[Sample<'_>]) -> Batch {
    let mut batch = BatchBuilder::new();
    for (seq, s) in (first..).zip(samples) {
        batch.push(&Row {
            seq,
            id: seq as u128,
            created_at: CREATED_AT,
            topic: &s.topic,
            key: s.key.as_deref(),
            event_type: "order.created",
            payload: &s.payload,
            content_type: s.content_type,
            headers: s.headers.as_deref(),
        });
    }
    batch.finish()
}

/// Messages of one key whose texts are their numbers.
#[must_use]
pub fn numbers(topic: &str, range: Range<i64>) -> Batch {
    batch(range.start, &range.map(|n| Sample::new(topic).key("k").text(n)).collect::<Vec<_>>())
}
