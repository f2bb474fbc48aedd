//! From a message to a record.

use outbox_core::wire::{Binding, CONTENT_TYPE, EVENT_TYPE, Encoded, MESSAGE_ID, WireFormat};
use outbox_core::{InvalidMessage, MessageRef};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use uuid::fmt::Hyphenated;

/// The attributes of CloudEvents stand in headers that begin with this; the key is the record's.
const BINDING: Binding = Binding::new("ce_");

/// A message in the form in which it is sent.
#[derive(Debug)]
pub(crate) enum Form<'a> {
    /// As it is: nothing of it is copied.
    Raw(MessageRef<'a>),
    Encoded(MessageRef<'a>, Encoded),
}

impl<'a> Form<'a> {
    pub(crate) fn of(m: MessageRef<'a>, format: &WireFormat) -> Result<Self, InvalidMessage> {
        if format.is_raw() {
            return Ok(Self::Raw(m));
        }
        let encoded = format.encode(&m, &BINDING)?;
        Ok(Self::Encoded(m, encoded))
    }

    /// The record; `confirmation` comes back with its acknowledgement.
    pub(crate) fn record(&self, confirmation: usize) -> Result<BaseRecord<'_, str, [u8], usize>, InvalidMessage> {
        let (m, payload, headers) = match self {
            Self::Raw(m) => (m, m.payload(), raw(m)?),
            Self::Encoded(m, encoded) => (m, &*encoded.payload, headers(encoded)?),
        };
        whole(m.topic())?;
        let record = BaseRecord::with_opaque_to(m.topic(), confirmation).payload(payload).headers(headers);
        Ok(match m.key() {
            Some(key) => record.key(key),
            None => record,
        })
    }
}

fn raw(m: &MessageRef<'_>) -> Result<OwnedHeaders, InvalidMessage> {
    let mut id = [0; Hyphenated::LENGTH];
    let id: &str = m.id().as_uuid().hyphenated().encode_lower(&mut id);
    let own = m.headers()?;
    let mut headers = OwnedHeaders::new_with_capacity(own.len() + 3)
        .insert(Header { key: MESSAGE_ID, value: Some(id) })
        .insert(Header { key: EVENT_TYPE, value: Some(m.event_type()) });
    if let Some(content_type) = m.content_type() {
        headers = headers.insert(Header { key: CONTENT_TYPE, value: Some(content_type) });
    }
    for (name, value) in own.iter().filter(|(name, _)| ![MESSAGE_ID, EVENT_TYPE, CONTENT_TYPE].contains(&&**name)) {
        whole(name)?;
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    Ok(headers)
}

fn headers(encoded: &Encoded) -> Result<OwnedHeaders, InvalidMessage> {
    let mut headers = OwnedHeaders::new_with_capacity(encoded.headers.len() + 1);
    if let Some(content_type) = &encoded.content_type {
        headers = headers.insert(Header { key: CONTENT_TYPE, value: Some(content_type) });
    }
    for (name, value) in &encoded.headers {
        whole(name)?;
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    Ok(headers)
}

/// The client takes topics and the names of headers as C strings, and would cut them short.
fn whole(name: &str) -> Result<(), InvalidMessage> {
    if name.contains('\0') {
        return Err(InvalidMessage::new("the topic or a header name contains NUL", "remove it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use outbox_core::{BatchBuilder, Row};
    use rdkafka::message::Headers;

    use super::*;

    type Parts = (Vec<u8>, Option<String>, Vec<(String, String)>);

    fn parts(form: &Form<'_>) -> Parts {
        let record = form.record(7).expect("a record");
        let headers = record.headers.as_ref().expect("headers").iter();
        let text = |value: Option<&[u8]>| String::from_utf8(value.expect("a value").to_vec()).expect("text");
        let headers = headers.map(|h| (h.key.to_owned(), text(h.value))).collect();
        (record.payload.expect("a payload").to_vec(), record.key.map(str::to_owned), headers)
    }

    /// What a format encodes goes out as it is, with the content type in its header: shown with the raw format, which
    /// has to make the same record as the quick way.
    #[test]
    fn an_encoded_message_and_one_as_it_is_make_the_same_record() {
        let mut batch = BatchBuilder::new();
        for headers in [None, Some(r#"{"a":"ü","message-id":"no","content-type":"no","message-key":"yes"}"#)] {
            batch.push(&Row {
                seq: 1,
                id: 1,
                created_at: 0,
                topic: "t",
                key: headers.map(|_| "k"),
                event_type: "e",
                payload: &[0, 255],
                content_type: headers.map(|_| "text/plain"),
                headers,
            });
        }
        let batch = batch.finish();
        for m in batch.iter() {
            let encoded = WireFormat::raw().encode(&m, &BINDING).expect("a form");
            let mut by_format = parts(&Form::Encoded(batch.get(m.index()), encoded));
            let mut quick = parts(&Form::of(m, &WireFormat::raw()).expect("a form"));
            by_format.2.sort();
            quick.2.sort();
            assert_eq!(by_format, quick);
        }
    }
}
