//! From a message to what is published.

use async_nats::header::{HeaderName, HeaderValue, NATS_MESSAGE_ID};
use async_nats::{HeaderMap, Subject};
use outbox_core::wire::{Binding, CONTENT_TYPE, MESSAGE_ID, WireFormat};
use outbox_core::{Bytes, InvalidMessage, MessageRef};

/// By the protocol binding of CloudEvents for NATS.
const BINDING: Binding = Binding::new("ce-").key_in_header().percent_encoded().content_type_as_attribute();

/// A message as it is handed to the client.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) subject: Subject,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

/// How messages are written.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) prefix: Option<String>,
    pub(crate) format: WireFormat,
}

impl Wire {
    /// The subject of a topic.
    pub(crate) fn subject(&self, topic: &str) -> String {
        self.prefix.as_ref().map_or_else(|| topic.to_owned(), |prefix| format!("{prefix}.{topic}"))
    }

    pub(crate) fn outgoing(&self, m: &MessageRef<'_>) -> Result<Outgoing, InvalidMessage> {
        let subject = self.subject(m.topic());
        check_subject(&subject)?;
        let encoded = self.format.encode(m, &BINDING)?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, m.id().to_string());
        if let Some(content_type) = encoded.content_type {
            put(&mut headers, CONTENT_TYPE.to_owned(), content_type)?;
        }
        for (name, value) in encoded.headers {
            // `Nats-Msg-Id` has it.
            if name == MESSAGE_ID && self.format.is_raw() {
                continue;
            }
            put(&mut headers, name, value)?;
        }
        Ok(Outgoing { subject: subject.into(), headers, payload: encoded.payload })
    }
}

fn put(headers: &mut HeaderMap, name: String, value: String) -> Result<(), InvalidMessage> {
    let advice = "use printable ASCII without ':' and spaces for names, and no CR, LF or NUL in values";
    if name.is_empty() {
        return Err(InvalidMessage::new("a header name is empty", advice));
    }
    if name.as_bytes().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"nats-")) {
        return Err(InvalidMessage::new(
            format!("the header {name:?} would be taken for a command by the server"),
            "choose a name that does not begin with Nats-",
        ));
    }
    if value.contains(['\r', '\n', '\0']) {
        return Err(InvalidMessage::new(format!("the value of header {name:?} contains CR, LF or NUL"), advice));
    }
    match HeaderName::try_from(name.as_str()) {
        // This conversion panics on CR and LF only.
        Ok(name) => headers.insert(name, HeaderValue::from(value)),
        Err(_) => return Err(InvalidMessage::new(format!("the header name {name:?} is not legal for NATS"), advice)),
    }
    Ok(())
}

/// Whether messages can be published to this subject. The client and the server let most of what is refused here pass:
/// a wildcard would be stored as it is.
pub(crate) fn check_subject(subject: &str) -> Result<(), InvalidMessage> {
    let error = |what: &str, advice: &str| Err(InvalidMessage::new(format!("the subject {subject:?} {what}"), advice));
    if subject.chars().any(|c| c == ' ' || c.is_control()) {
        return error("contains a space or a control character", "separate words by '-' or '_'");
    }
    if subject.split('.').any(str::is_empty) {
        return error("has an empty token", "give at least one character before, between and behind the dots");
    }
    if subject.split('.').any(|token| token == "*" || token == ">") {
        return error("contains a wildcard", "publish to one subject; wildcards are for streams and consumers");
    }
    if subject.starts_with('$') && !subject.starts_with("$KV.") {
        return error("belongs to the server", "choose one that does not begin with $");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use outbox_core::{BatchBuilder, Row};

    use super::*;

    fn outgoing(topic: &str, headers: Option<&str>) -> Result<Outgoing, String> {
        let mut batch = BatchBuilder::new();
        batch.push(&Row {
            seq: 1,
            id: 7,
            created_at: 0,
            topic,
            key: Some("ключ"),
            event_type: "order.created",
            payload: b"p",
            content_type: Some("text/plain"),
            headers,
        });
        let wire = Wire { prefix: Some("shop".into()), format: WireFormat::raw() };
        wire.outgoing(&batch.finish().get(0)).map_err(|e| e.to_string())
    }

    #[test]
    fn every_part_has_its_place() {
        let out = outgoing("orders.eu", Some(r#"{"trace":"ü","message-id":"no"}"#)).expect("legal");
        assert_eq!((out.subject.as_str(), &out.payload[..]), ("shop.orders.eu", &b"p"[..]));
        let header = |name: &str| out.headers.get(name).map(HeaderValue::as_str);
        assert_eq!(header("Nats-Msg-Id"), Some("00000000-0000-0000-0000-000000000007"));
        assert_eq!((header("event-type"), header("content-type")), (Some("order.created"), Some("text/plain")));
        assert_eq!((header("message-key"), header("trace")), (Some("ключ"), Some("ü")));
        assert_eq!(out.headers.len(), 5, "a header with the name of one of ours is left out");
    }

    #[test]
    fn what_the_server_would_misread_is_refused() {
        for bad in ["a..b", ".a", "a.", "", "a.*", ">", "a.>.b", "a b", "a\tb", "a\r\nb", "a\0b"] {
            assert!(outgoing(bad, None).is_err(), "{bad:?}");
        }
        assert!(check_subject("$JS.API.STREAM.DELETE.orders").is_err());
        for good in ["a*b.c>", "$KV.bucket.key", "заказы.ü", "a/b"] {
            assert!(check_subject(good).is_ok(), "{good:?}");
        }
        for bad in ["a:b", "a b", "", "ü", "Nats-Rollup", "nats-expected-last-sequence", "a\\u0000b", "a\\r\\nb"] {
            let error = outgoing("a", Some(&format!(r#"{{"{bad}":"v"}}"#))).expect_err(bad);
            assert!(error.contains("header"), "{error}");
        }
        for bad in ["a\\rb", "a\\nb", "a\\u0000b"] {
            let error = outgoing("a", Some(&format!(r#"{{"h":"{bad}"}}"#))).expect_err(bad);
            assert!(error.contains("CR, LF or NUL"), "{error}");
        }
        assert!(outgoing("a", Some("[1]")).is_err());
    }
}
