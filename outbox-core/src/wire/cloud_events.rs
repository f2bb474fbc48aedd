//! CloudEvents 1.0.2: the attributes of a message, in binary and structured mode.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serializer;
use serde::ser::{Error, SerializeMap};
use serde_json::value::RawValue;

use super::{Binding, CONTENT_TYPE, Encoded, source};
use crate::{InvalidMessage, MessageRef};

/// The media type of structured mode.
const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";
/// What the format says itself; the message's own headers of these names are no attributes.
const OURS: [&str; 8] = ["id", "source", "specversion", "type", "time", "datacontenttype", "partitionkey", "data"];
/// Both an extension of CloudEvents and a header that others look for.
const TRACING: [&str; 2] = ["traceparent", "tracestate"];
/// 9999-12-31T23:59:59.999999Z, the last instant of RFC 3339.
const LAST: Duration = Duration::from_micros(253_402_300_799_999_999);

/// A message as CloudEvent.
#[derive(Debug)]
pub(super) struct Event<'a> {
    message: &'a MessageRef<'a>,
    binding: &'a Binding,
    /// All but `datacontenttype`.
    attributes: Vec<(String, String)>,
    content_type: Option<&'a str>,
    /// What stays a header.
    headers: Vec<(String, String)>,
}

/// What `data` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Json,
    Text,
    Bytes,
}

impl<'a> Event<'a> {
    pub(super) fn new(
        m: &'a MessageRef<'a>,
        own: Vec<(String, String)>,
        source: &str,
        binding: &'a Binding,
    ) -> Result<Self, InvalidMessage> {
        let time = UNIX_EPOCH + m.created_at().duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
        let mut attributes = vec![
            ("specversion".to_owned(), "1.0".to_owned()),
            ("id".to_owned(), m.id().to_string()),
            ("source".to_owned(), source.to_owned()),
            ("type".to_owned(), attribute("event type", m.event_type())?.to_owned()),
            ("time".to_owned(), humantime::format_rfc3339_micros(time).to_string()),
        ];
        if let Some(key) = m.key() {
            attributes.push(("partitionkey".to_owned(), attribute("key", key)?.to_owned()));
        }
        let content_type = m.content_type().map(|content_type| attribute("content type", content_type)).transpose()?;
        let mut headers = Vec::new();
        for (name, value) in own {
            let prefixed = name.get(..binding.prefix().len());
            if prefixed.is_some_and(|start| start.eq_ignore_ascii_case(binding.prefix()))
                || name.eq_ignore_ascii_case(CONTENT_TYPE)
            {
                continue;
            }
            let legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !legal || OURS.contains(&&*name) || !is_value(&value) {
                headers.push((name, value));
                continue;
            }
            if name == "dataschema" && !source::is_absolute(&value) {
                return Err(InvalidMessage::new(
                    format!("the header \"dataschema\", {value:?}, is no URI"),
                    "give the schema's absolute URI, or name the header otherwise",
                ));
            }
            if TRACING.contains(&&*name) {
                headers.push((name.clone(), value.clone()));
            }
            attributes.push((name, value));
        }
        Ok(Self { message: m, binding, attributes, content_type, headers })
    }

    /// The payload as it is, the attributes as headers.
    pub(super) fn binary(self) -> Encoded {
        let Self { message, binding, attributes, content_type, headers: own } = self;
        let mut headers = Vec::with_capacity(attributes.len() + 1 + own.len());
        let as_header = |(name, value): (String, String)| {
            let value = if binding.is_percent_encoded() { percent_encoded(&value) } else { value };
            (format!("{}{name}", binding.prefix()), value)
        };
        headers.extend(attributes.into_iter().map(as_header));
        if let Some(content_type) = content_type.filter(|_| binding.has_content_type_as_attribute()) {
            headers.push(as_header(("datacontenttype".to_owned(), content_type.to_owned())));
        }
        headers.extend(own);
        Encoded { payload: message.payload_bytes(), content_type: content_type.map(str::to_owned), headers }
    }

    /// All of it as one JSON object.
    pub(super) fn structured(self) -> Result<Encoded, InvalidMessage> {
        let mut json = Vec::with_capacity(512 + self.message.payload().len() * 4 / 3);
        self.write(&mut serde_json::Serializer::new(&mut json)).map_err(|e| {
            InvalidMessage::new(
                format!("the payload is declared as {}, and is none ({e})", self.content_type.unwrap_or("JSON")),
                "write JSON, or declare the content type that it has",
            )
        })?;
        Ok(Encoded { payload: json.into(), content_type: Some(STRUCTURED.to_owned()), headers: self.headers })
    }

    fn write(&self, json: &mut serde_json::Serializer<&mut Vec<u8>>) -> Result<(), serde_json::Error> {
        let mut object = json.serialize_map(None)?;
        for (name, value) in &self.attributes {
            object.serialize_entry(name, value)?;
        }
        if let Some(content_type) = self.content_type {
            object.serialize_entry("datacontenttype", content_type)?;
        }
        let payload = self.message.payload();
        match (content(self.content_type), std::str::from_utf8(payload)) {
            (Content::Text, Ok(text)) if is_short_in_json(text) => object.serialize_entry("data", text)?,
            _ if payload.is_empty() => {}
            (Content::Json, Ok(text)) => object.serialize_entry("data", serde_json::from_str::<&RawValue>(text)?)?,
            (Content::Json, Err(e)) => return Err(serde_json::Error::custom(e)),
            _ => object.serialize_entry("data_base64", &BASE64_STANDARD.encode(payload))?,
        }
        object.end()
    }
}

/// By the JSON event format, section 3.1.1; of what is neither JSON nor text nothing is known.
fn content(content_type: Option<&str>) -> Content {
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    let Some((kind, subtype)) = media_type.split_once('/') else { return Content::Bytes };
    if subtype == "json" || subtype.ends_with("+json") {
        Content::Json
    } else if kind == "text" || subtype == "xml" || subtype.ends_with("+xml") {
        Content::Text
    } else {
        Content::Bytes
    }
}

/// Whether a JSON string of it is no longer than base64 would be, or not by much. A control character takes six bytes.
fn is_short_in_json(text: &str) -> bool {
    let more = text.bytes().map(|b| match b {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        0..0x20 => 5,
        _ => 0,
    });
    more.sum::<usize>() <= (text.len() / 3).max(100)
}

/// What the type `String` of CloudEvents may be, and not empty.
fn is_value(text: &str) -> bool {
    // Of the code points that are no characters: U+FDD0 to U+FDEF, and the last two of each plane.
    let none = |c: char| matches!(c as u32, 0xFDD0..=0xFDEF) || c as u32 & 0xFFFE == 0xFFFE;
    !text.is_empty() && !text.chars().any(|c| c.is_control() || none(c))
}

fn attribute<'a>(part: &str, text: &'a str) -> Result<&'a str, InvalidMessage> {
    if is_value(text) {
        return Ok(text);
    }
    Err(InvalidMessage::new(
        format!("the {part} {text:?} is empty or has a control character, which no attribute of CloudEvents may"),
        "remove it, or publish in the raw format",
    ))
}

/// By the bindings for HTTP and NATS, section 3.1.3.2: space, `"`, `%`, and all that is not printable ASCII.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'!'..=b'~' if b != b'"' && b != b'%' => encoded.push(char::from(b)),
            _ => encoded.push_str(&format!("%{b:02X}")),
        }
    }
    encoded
}
