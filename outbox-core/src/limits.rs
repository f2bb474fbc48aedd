//! What a message may be, as plain data: checked at enqueue, and again by the relay before a transport sees it.

use crate::{Due, InvalidMessage, Message, MessageRef};

/// Bytes of a deduplication key: no transport sees it, so only the stores bound it.
const DEDUP_KEY: usize = 255;

/// Upper bounds in bytes (of UTF-8, for text), except where a field says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// A topic: 1 to this many bytes.
    pub topic: usize,
    /// A key: 1 to this many bytes. No key at all is always allowed.
    pub key: usize,
    /// An event type: 1 to this many bytes.
    pub event_type: usize,
    /// The payload.
    pub payload: usize,
    /// How many headers.
    pub header_count: usize,
    /// All header names and values together.
    pub headers: usize,
    /// Whether a topic must be of `[A-Za-z0-9._-]`, and neither `.` nor `..` (Kafka).
    pub plain_topic: bool,
}

impl Limits {
    /// What every store and transport of this project can carry. The default at enqueue.
    pub const DEFAULT: Self = Self {
        topic: 255,
        key: 1_024,
        event_type: 255,
        payload: 64 << 20,
        header_count: 100,
        headers: 64 << 10,
        plain_topic: false,
    };

    /// Kafka with the broker's and client's defaults: topic of 249 bytes, a record of 1,000,000 bytes in all.
    pub const KAFKA: Self = Self { topic: 249, payload: 900_000, plain_topic: true, ..Self::DEFAULT };

    /// Another bound for the payload, in bytes.
    #[must_use]
    pub const fn max_payload(mut self, bytes: usize) -> Self {
        self.payload = bytes;
        self
    }

    /// Checks a message that is about to be enqueued.
    ///
    /// # Errors
    /// The first part that is out of bounds, with what to do.
    pub fn check(&self, m: &Message) -> Result<(), InvalidMessage> {
        if let Some(key) = &m.dedup_key {
            name("deduplication key", key, DEDUP_KEY)?;
        }
        m.due.map_or(Ok(()), Due::check)?;
        let headers = m.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        self.check_parts(&m.topic, m.key.as_deref(), &m.event_type, m.content_type.as_deref(), m.payload.len(), headers)
    }

    /// Checks a message that is about to be published.
    ///
    /// # Errors
    /// The first part that is out of bounds, with what to do.
    pub fn check_ref(&self, m: &MessageRef<'_>) -> Result<(), InvalidMessage> {
        let headers = m.headers()?;
        let headers = headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        self.check_parts(m.topic(), m.key(), m.event_type(), m.content_type(), m.payload().len(), headers)
    }

    fn check_parts<'a>(
        &self,
        topic: &str,
        key: Option<&str>,
        event_type: &str,
        content_type: Option<&str>,
        payload: usize,
        headers: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), InvalidMessage> {
        name("topic", topic, self.topic)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if self.plain_topic && (topic == "." || topic == ".." || !topic.bytes().all(plain)) {
            return Err(InvalidMessage::new(
                format!("the topic {topic:?} is not legal for this transport"),
                "use only A-Z, a-z, 0-9, '.', '_' and '-'",
            ));
        }
        name("event type", event_type, self.event_type)?;
        if let Some(key) = key {
            name("key", key, self.key)?;
        }
        if let Some(content_type) = content_type {
            name("content type", content_type, 255)?;
        }
        if payload > self.payload {
            return Err(InvalidMessage::new(
                format!("the payload is {payload} bytes, the limit is {}", self.payload),
                "store the large part elsewhere and send a reference, or raise the limit here and at the broker",
            ));
        }
        let (mut count, mut bytes) = (0, 0);
        for (header, value) in headers {
            name("header name", header, 255)?;
            if value.contains(['\r', '\n', '\0']) {
                return Err(InvalidMessage::new(
                    format!("the value of header {header:?} contains CR, LF or NUL"),
                    "encode it, for example as base64",
                ));
            }
            count += 1;
            bytes += header.len() + value.len();
        }
        if count > self.header_count || bytes > self.headers {
            return Err(InvalidMessage::new(
                format!("{count} headers of {bytes} bytes; the limits are {} and {}", self.header_count, self.headers),
                "move data from headers into the payload",
            ));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

fn name(part: &str, text: &str, max: usize) -> Result<(), InvalidMessage> {
    if text.is_empty() {
        return Err(InvalidMessage::new(format!("the {part} is empty"), format!("give 1 to {max} bytes")));
    }
    if text.len() > max {
        let shown: String = text.chars().take(32).collect();
        return Err(InvalidMessage::new(
            format!("the {part} {shown:?}... is {} bytes, the limit is {max}", text.len()),
            "shorten it",
        ));
    }
    if text.contains(['\r', '\n', '\0']) {
        return Err(InvalidMessage::new(format!("the {part} {text:?} contains CR, LF or NUL"), "remove them"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(m: Message) -> String {
        Limits::KAFKA.check(&m).expect_err("must be refused").to_string()
    }

    #[test]
    fn each_bad_part_is_named_with_advice() {
        assert!(Limits::KAFKA.check(&Message::new("orders", "order.created").key(7).header("a", "ü")).is_ok());
        assert!(error(Message::new("", "e")).contains("topic is empty"));
        assert!(error(Message::new("a b", "e")).contains("not legal"));
        assert!(error(Message::new("t".repeat(250), "e")).contains("250 bytes, the limit is 249"));
        assert!(error(Message::new("t", "")).contains("event type is empty"));
        assert!(error(Message::new("t", "e".repeat(256))).contains("event type"));
        assert!(error(Message::new("t", "e").key("")).contains("key is empty"));
        assert!(error(Message::new("t", "e").key("k".repeat(1025))).contains("key"));
        assert!(error(Message::new("t", "e").dedup_key("")).contains("deduplication key is empty"));
        assert!(error(Message::new("t", "e").dedup_key("ü".repeat(128))).contains("256 bytes, the limit is 255"));
        let years = |n: u64| std::time::Duration::from_secs(n * 365 * 24 * 3_600);
        assert!(Limits::KAFKA.check(&Message::new("t", "e").deliver_after(years(100)).dedup_key("k")).is_ok());
        assert!(error(Message::new("t", "e").deliver_after(years(101))).contains("100 years from now"));
        let late = std::time::UNIX_EPOCH + years(8_100);
        assert!(error(Message::new("t", "e").deliver_at(late)).contains("the end of 9999"));
        for bad in ["a\rb", "a\nb", "a\0b"] {
            assert!(error(Message::new("t", "e").header(bad, "v")).contains("header name"));
            assert!(error(Message::new("t", "e").header("n", bad)).contains("value of header"));
        }
        assert!(error(Message::new("t", "e").payload(vec![0; 900_001])).contains("payload is 900001 bytes"));
    }
}
