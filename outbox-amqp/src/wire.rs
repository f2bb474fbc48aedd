//! From a message to properties and body.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use outbox_core::wire::{Binding, EVENT_TYPE, Encoded, MESSAGE_ID, WireFormat};
use outbox_core::{InvalidMessage, MessageRef};

/// The key has no place of its own in AMQP.
const BINDING: Binding = Binding::new("cloudEvents:").key_in_header();
const PERSISTENT: u8 = 2;

/// A message as it is handed to a channel.
pub(crate) struct Wired {
    pub(crate) id: String,
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) encoded: Encoded,
}

/// `frame_max`: what was agreed on with the broker, in bytes.
pub(crate) fn wired(m: &MessageRef<'_>, format: &WireFormat, frame_max: usize) -> Result<Wired, InvalidMessage> {
    let mut encoded = format.encode(m, &BINDING)?;
    let id = m.id().to_string();
    let mut properties = BasicProperties::default()
        .with_message_id(short("message id", id.clone())?)
        .with_type(short("event type", m.event_type())?)
        .with_delivery_mode(PERSISTENT);
    if let Ok(micros) = u64::try_from(m.created_at_micros()) {
        properties = properties.with_timestamp(micros / 1_000_000);
    }
    if let Some(content_type) = encoded.content_type.take() {
        properties = properties.with_content_type(short("content type", content_type)?);
    }
    // The properties have them.
    let raw = format.is_raw();
    let (mut table, mut bytes) = (FieldTable::default(), 0);
    for (name, value) in encoded.headers.drain(..) {
        if raw && (name == MESSAGE_ID || name == EVENT_TYPE) {
            continue;
        }
        // With its lengths and its type.
        bytes += name.len() + value.len() + 6;
        table.insert(short("header name", name)?, AMQPValue::LongString(value.into()));
    }
    // A header frame over the limit ends the connection, and with it everything that is under way. Beside the table
    // it has up to 256 bytes for each of the texts above, and 40 of its own.
    let frame = bytes + 4 * 256 + 40;
    if frame > frame_max {
        return Err(InvalidMessage::new(
            format!("the headers take up to {frame} bytes, and the broker's frames {frame_max}"),
            "move data from headers into the payload, or raise frame_max at the broker",
        ));
    }
    let routing_key = short("topic", m.topic())?;
    Ok(Wired { id, routing_key, properties: properties.with_headers(table), encoded })
}

fn short(part: &str, text: impl Into<String>) -> Result<ShortString, InvalidMessage> {
    let text = text.into();
    let len = text.len();
    ShortString::try_new(text)
        .map_err(|_| InvalidMessage::new(format!("the {part} is {len} bytes, AMQP allows 255"), "shorten it"))
}

#[cfg(test)]
mod tests {
    use outbox_core::{Batch, BatchBuilder, Row};

    use super::*;

    fn batch(topic: &str, event_type: &str, headers: Option<&str>) -> Batch {
        let mut batch = BatchBuilder::new();
        batch.push(&Row {
            seq: 1,
            id: 7,
            created_at: 1_700_000_000_999_999,
            topic,
            key: Some("k"),
            event_type,
            payload: b"body",
            content_type: Some("text/plain"),
            headers,
        });
        batch.finish()
    }

    fn wire(batch: &Batch, frame_max: usize) -> Result<Wired, InvalidMessage> {
        wired(&batch.get(0), &WireFormat::raw(), frame_max)
    }

    #[test]
    fn every_part_has_its_place() {
        let headers = r#"{"trace":"ü","message-id":"no","message-key":"no"}"#;
        let wired = wire(&batch("orders", "order.created", Some(headers)), 131_072).expect("valid");
        let p = &wired.properties;
        let text = |text: &Option<ShortString>| text.as_ref().map(|t| t.as_str().to_owned());
        assert_eq!(wired.id, "00000000-0000-0000-0000-000000000007");
        assert_eq!(text(p.message_id()).as_ref(), Some(&wired.id));
        assert_eq!(text(p.kind()).as_deref(), Some("order.created"));
        assert_eq!(text(p.content_type()).as_deref(), Some("text/plain"));
        assert_eq!((*p.timestamp(), *p.delivery_mode()), (Some(1_700_000_000), Some(2)));
        assert_eq!((wired.routing_key.as_str(), &wired.encoded.payload[..]), ("orders", &b"body"[..]));
        let table = p.headers().as_ref().expect("headers").inner();
        let names: Vec<&str> = table.keys().map(ShortString::as_str).collect();
        assert_eq!(names, ["message-key", "trace"]);
        assert_eq!(table.get("message-key"), Some(&AMQPValue::LongString("k".into())));
        assert_eq!(table.get("trace"), Some(&AMQPValue::LongString("ü".into())));
    }

    #[test]
    fn what_amqp_cannot_carry_is_refused_with_the_reason() {
        let long = "x".repeat(256);
        let error = |batch: Batch, frame_max| wire(&batch, frame_max).err().expect("must be refused").to_string();
        assert!(error(batch(&long, "e", None), 131_072).contains("topic is 256 bytes"));
        assert!(error(batch("t", &long, None), 131_072).contains("event type is 256 bytes"));
        let headers = format!(r#"{{"{long}":"v"}}"#);
        assert!(error(batch("t", "e", Some(&headers)), 131_072).contains("header name is 256 bytes"));
        let headers = format!(r#"{{"h":"{}"}}"#, "v".repeat(130_000));
        assert!(error(batch("t", "e", Some(&headers)), 131_072).contains("raise frame_max"));
        assert!(wire(&batch("t", "e", Some(&headers)), 262_144).is_ok());
        assert!(error(batch("t", "e", Some("7")), 131_072).contains("no JSON object"));
    }
}
