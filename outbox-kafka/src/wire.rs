//! From a message to a record.

use outbox_core::{InvalidMessage, MessageRef};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use uuid::fmt::Hyphenated;

const MESSAGE_ID: &str = "message-id";
const EVENT_TYPE: &str = "event-type";
const CONTENT_TYPE: &str = "content-type";

/// The record of a message; `confirmation` comes back with its acknowledgement.
pub(crate) fn record<'a>(
    m: &MessageRef<'a>,
    confirmation: usize,
) -> Result<BaseRecord<'a, str, [u8], usize>, InvalidMessage> {
    let mut id = [0; Hyphenated::LENGTH];
    let id: &str = m.id().as_uuid().hyphenated().encode_lower(&mut id);
    let own = m.headers()?;
    // The client takes both as C strings, and would cut a header's name short.
    if own.iter().map(|(name, _)| name.as_str()).chain([m.topic()]).any(|name| name.contains('\0')) {
        return Err(InvalidMessage::new("the topic or a header name contains NUL", "remove it"));
    }
    let mut headers = OwnedHeaders::new_with_capacity(own.len() + 3)
        .insert(Header { key: MESSAGE_ID, value: Some(id) })
        .insert(Header { key: EVENT_TYPE, value: Some(m.event_type()) });
    if let Some(content_type) = m.content_type() {
        headers = headers.insert(Header { key: CONTENT_TYPE, value: Some(content_type) });
    }
    for (name, value) in own.iter().filter(|(name, _)| ![MESSAGE_ID, EVENT_TYPE, CONTENT_TYPE].contains(&&**name)) {
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    let record = BaseRecord::with_opaque_to(m.topic(), confirmation).payload(m.payload()).headers(headers);
    Ok(match m.key() {
        Some(key) => record.key(key),
        None => record,
    })
}
