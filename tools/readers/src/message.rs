use std::collections::BTreeMap;
use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::{Message, Relay, StoreRelay, Transport};
use serde::Deserialize;

const RELAY: &str = "readers";
const SOON: Duration = Duration::from_secs(60);

/// A message as a foreign client found it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "tests build it")]
pub struct Read {
    /// The message id.
    pub id: String,
    /// The ordering key.
    pub key: Option<String>,
    /// The event type.
    pub event_type: String,
    /// The payload's media type.
    pub content_type: Option<String>,
    /// The message's own headers, without those that the transport adds.
    pub headers: BTreeMap<String, String>,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Messages with everything that a message may have, and with nothing of it.
#[must_use]
pub fn samples(topic: &str) -> Vec<Message> {
    let m = |event_type| Message::new(topic, event_type);
    vec![
        m("order.created")
            .key("order-7")
            .content_type("application/json; charset=utf-8")
            .header("tenant", "7")
            .header("trace", "ü=ключ; 漢字 \"quoted\"")
            .text(r#"{"order":7,"name":"Zoë"}"#),
        m("plain").text("neither key nor headers"),
        m("order.paid").key("ключ-ü").content_type("application/octet-stream").payload((0..=255).collect::<Vec<u8>>()),
        m("order.deleted").key("order-7").header("reason", "gone").payload(Vec::new()),
    ]
}

/// Sends them by a relay, as an application does.
///
/// # Panics
/// If one of them is not delivered.
pub async fn publish(transport: impl Transport, messages: &[Message]) {
    let store = MemoryStore::new();
    let mut tx = store.begin();
    for m in messages {
        tx.enqueue(m.clone()).expect("a valid message");
    }
    tx.commit();
    let relay = StoreRelay::builder(RELAY, store.clone(), transport).build().expect("valid settings");
    relay.until_drained(SOON).await.expect("drained");
    assert_eq!(relay.handle().stats().delivered, messages.len() as u64, "{:?}", store.dead_letters(RELAY));
}

/// Every message was read once, as it was sent.
///
/// # Panics
/// If one was not, with both.
#[track_caller]
pub fn assert_as_sent(sent: &[Message], read: &[Read]) {
    for m in sent {
        let expected = Read {
            id: m.id.to_string(),
            key: m.key.clone(),
            event_type: m.event_type.clone(),
            content_type: m.content_type.clone(),
            headers: m.headers.iter().cloned().collect(),
            payload: m.payload.to_vec(),
        };
        let copies: Vec<&Read> = read.iter().filter(|read| read.id == expected.id).collect();
        assert_eq!(copies, [&expected], "everything that was read: {read:#?}");
    }
    assert_eq!(read.len(), sent.len(), "{read:#?}");
}
