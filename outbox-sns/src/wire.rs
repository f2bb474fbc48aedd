//! From a message to an entry of a batch.

use std::collections::HashMap;

use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outbox_core::wire::{Binding, CONTENT_TYPE, WireFormat};
use outbox_core::{BoxError, InvalidMessage, MessageRef};

use crate::attributes::Attributes;
use crate::group;
use crate::text;

/// SNS has a place for the key on FIFO topics only, and not every key fits there.
const BINDING: Binding = Binding::new("ce-").key_in_header();

/// Stands for an empty payload, which SNS does not take.
const NOTHING: &str = "-";

#[derive(Debug)]
pub(crate) struct Wire {
    format: WireFormat,
    /// Message and attributes, in bytes.
    max_message: usize,
}

/// A message as SNS takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) index: usize,
    body: String,
    attributes: Vec<(String, String)>,
    /// On a FIFO topic: the message group and the deduplication id.
    pub(crate) group: Option<String>,
    id: String,
    /// What it counts for in the limits, in bytes.
    pub(crate) size: usize,
}

impl Wire {
    pub(crate) fn new(format: WireFormat, max_message: usize) -> Self {
        Self { format, max_message }
    }

    /// # Errors
    /// When SNS can never store this message.
    pub(crate) fn encode(&self, m: &MessageRef<'_>, fifo: bool) -> Result<Encoded, BoxError> {
        let encoded = self.format.encode(m, &BINDING)?;
        let (body, encoding) = body(&encoded.payload);
        let mut attributes = Attributes::new(encoding);
        attributes.extend(encoded.content_type.map(|content_type| (CONTENT_TYPE.into(), content_type)));
        attributes.extend(encoded.headers);
        let attributes = attributes.finish();
        let size = body.len() + attributes.iter().map(|(name, value)| size(name, value)).sum::<usize>();
        if size > self.max_message {
            let (of, max) = (m.payload().len(), self.max_message);
            let how = match encoding {
                Some(_) => " (no text, so it is sent as base64, a third longer)",
                None => "",
            };
            return Err(InvalidMessage::new(
                format!("with its attributes the message is {size} bytes, {max} are allowed; its payload is {of}{how}"),
                "store the large part elsewhere and send a reference, or raise MaximumMessageSize of the topic and \
                 SnsConfig::max_payload",
            )
            .into());
        }
        let id = m.id().to_string();
        // Without a key, nothing waits for it.
        let group = fifo.then(|| m.key().map_or_else(|| id.clone(), group::of));
        Ok(Encoded { index: m.index(), body, attributes, group, id, size })
    }
}

impl Encoded {
    pub(crate) fn entry(self) -> Result<PublishBatchRequestEntry, BoxError> {
        let mut attributes = HashMap::with_capacity(self.attributes.len());
        for (name, value) in self.attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
            attributes.insert(name, value);
        }
        let deduplicate_by = self.group.is_some().then_some(self.id);
        let entry = PublishBatchRequestEntry::builder()
            .id(self.index.to_string())
            .message(self.body)
            .set_message_attributes(Some(attributes))
            .set_message_deduplication_id(deduplicate_by)
            .set_message_group_id(self.group);
        Ok(entry.build()?)
    }
}

/// Name, type and value count.
fn size(name: &str, value: &str) -> usize {
    name.len() + "String".len() + value.len()
}

/// The payload as text, and how it was made that.
fn body(payload: &[u8]) -> (String, Option<&'static str>) {
    match std::str::from_utf8(payload) {
        Ok("") => (NOTHING.into(), Some("empty")),
        Ok(text) if text::is_carried(text) => (text.into(), None),
        _ => (STANDARD.encode(payload), Some("base64")),
    }
}

#[cfg(test)]
mod tests {
    use outbox_core::{Batch, BatchBuilder, Row};

    use super::*;

    fn batch(key: Option<&str>, payload: &[u8], headers: Option<&str>) -> Batch {
        let mut batch = BatchBuilder::new();
        batch.push(&Row {
            seq: 1,
            id: 7,
            created_at: 0,
            topic: "orders",
            key,
            event_type: "order.created",
            payload,
            content_type: Some("text/plain"),
            headers,
        });
        batch.finish()
    }

    fn encode(key: Option<&str>, payload: &[u8], headers: Option<&str>, fifo: bool) -> Result<Encoded, String> {
        let batch = batch(key, payload, headers);
        Wire::new(WireFormat::raw(), 262_144).encode(&batch.get(0), fifo).map_err(|e| e.to_string())
    }

    #[test]
    fn text_goes_as_it_is_and_its_parts_are_attributes() {
        let entry = encode(Some("k"), "ü\r\n".as_bytes(), Some(r#"{"trace":"t"}"#), true).expect("valid");
        assert_eq!(entry.body, "ü\r\n");
        let names: Vec<&str> = entry.attributes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "message-id", "event-type", "message-key", "trace"]);
        let size = 4 + names.iter().map(|n| n.len() + 6).sum::<usize>() + 10 + 36 + 13 + 1 + 1;
        assert_eq!(entry.size, size);
        let entry = entry.entry().expect("complete");
        assert_eq!((entry.message_group_id(), entry.id()), (Some("k"), "0"));
        assert_eq!(entry.message_deduplication_id(), Some("00000000-0000-0000-0000-000000000007"));
        assert_eq!(entry.subject(), None);
    }

    #[test]
    fn a_standard_topic_gets_neither_group_nor_deduplication_id() {
        let entry = encode(Some("k"), b"x", None, false).expect("valid").entry().expect("complete");
        assert_eq!((entry.message_group_id(), entry.message_deduplication_id()), (None, None));
    }

    #[test]
    fn without_a_key_a_message_is_a_group_of_its_own() {
        let entry = encode(None, b"x", None, true).expect("valid");
        assert_eq!(entry.group.as_deref(), Some("00000000-0000-0000-0000-000000000007"));
        assert!(entry.attributes.iter().all(|(name, _)| name != "message-key"));
    }

    #[test]
    fn what_is_no_text_for_sns_is_base64_and_says_so() {
        for payload in [&b"\xff\xfe"[..], b"\0", b"a\x01b", "\u{fffe}".as_bytes()] {
            let entry = encode(None, payload, None, false).expect("valid");
            assert_eq!(entry.attributes[0], ("payload-encoding".into(), "base64".into()));
            assert_eq!(STANDARD.decode(&entry.body).expect("base64"), payload);
        }
        let nothing = encode(None, b"", None, false).expect("valid");
        assert_eq!((nothing.body.as_str(), nothing.attributes[0].1.as_str()), ("-", "empty"));
        assert_eq!(encode(None, b"-", None, false).expect("valid").attributes[0].0, "content-type");
    }

    #[test]
    fn the_bound_counts_the_attributes_too() {
        let rest = encode(None, b"x", None, false).expect("valid").size - 1;
        assert!(encode(None, &vec![b'x'; 262_144 - rest], None, false).is_ok());
        let error = encode(None, &vec![b'x'; 262_145 - rest], None, false).expect_err("too long");
        assert!(error.contains("262145 bytes, 262144 are allowed") && error.contains("max_payload"), "{error}");
        let error = encode(None, &[255; 200_000], None, false).expect_err("too long as base64");
        assert!(error.contains("base64"), "{error}");
    }

    #[test]
    fn headers_that_are_no_object_are_refused() {
        assert!(encode(None, b"x", Some("[1]"), false).expect_err("no object").contains("no JSON object"));
    }
}
