//! `CONTENT` and `DEDUP`: a message arrives as it was sent.

use std::collections::BTreeMap;

use outbox_core::{Message, Transport};

use super::drive::{deliver, name, stored};
use super::{Stored, TransportHarness};
use crate::Seen;
use crate::suite::{Outcome, Passed, ensure};

/// Delivers the message and reads it back, found by `same`.
async fn carried<H: TransportHarness>(
    harness: &H,
    transport: &H::Transport,
    m: &Message,
    same: impl Fn(&Stored) -> bool,
) -> Result<Stored, Seen> {
    deliver::<H>(transport, std::slice::from_ref(m)).await?;
    let start = tokio::time::Instant::now();
    loop {
        if let Some(found) = harness.stored().await.into_iter().find(&same) {
            return Ok(found);
        }
        ensure!(start.elapsed() < H::DEADLINE, "{} was delivered, and is not stored", name(m));
        super::drive::pace().await;
    }
}

pub(super) async fn the_payload_arrives_byte_for_byte<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("payload").await;
    let all: Vec<u8> = (0..=255).collect();
    let transport = harness.transport().await;
    let long = all.repeat(40);
    let long = &long[..long.len().min(transport.capabilities().limits.payload)];
    let payloads: [&[u8]; 6] = [b"", &all, b"\0", b"\xff\xfe", "日本 \r\n \u{1F980}".as_bytes(), long];
    for (n, payload) in payloads.into_iter().enumerate() {
        let m = Message::new(&topic, "order.created").key(format!("payload-{n}")).payload(payload.to_vec());
        // By its key, since it is the payload that may differ.
        let found = carried(&harness, &transport, &m, |s| s.key == m.key).await?;
        let (sent, seen) = (show(payload), show(&found.payload));
        ensure!(found.payload == payload, "the payload {sent} was sent, and {seen} is stored");
    }
    Ok(Passed::Kept)
}

fn show(bytes: &[u8]) -> String {
    let dots = if bytes.len() > 16 { "..." } else { "" };
    format!("{:02x?}{dots} of {} bytes", &bytes[..bytes.len().min(16)], bytes.len())
}

pub(super) async fn the_id_arrives<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("id").await;
    let transport = harness.transport().await;
    for n in 0..3 {
        let m = Message::new(&topic, "order.created").key("k").text(format!("id/{n}"));
        let found = carried(&harness, &transport, &m, |s| s.payload == m.payload).await?;
        ensure!(found.id == m.id.to_string(), "the id {} was sent, and {:?} is stored", m.id, found.id);
    }
    Ok(Passed::Kept)
}

pub(super) async fn topic_key_and_types_arrive<H: TransportHarness>(harness: H) -> Outcome {
    let (a, b) = (harness.topic("parts-a").await, harness.topic("parts-b").await);
    let transport = harness.transport().await;
    let sent = [
        Message::new(&a, "order.created").key("k").text("parts/0"),
        Message::new(&b, "order.paid").key("ключ 7/ü").text("parts/1").content_type("application/cloudevents+json"),
        Message::new(&a, "заказ.создан").payload("parts/2"),
    ];
    for m in sent {
        let found = carried(&harness, &transport, &m, |s| s.payload == m.payload).await?;
        ensure!(found.topic == m.topic, "the topic {:?} was sent, and {:?} is stored", m.topic, found.topic);
        ensure!(found.key == m.key, "the key {:?} was sent, and {:?} is stored", m.key, found.key);
        let (sent, seen) = (&m.event_type, &found.event_type);
        ensure!(seen == sent, "the event type {sent:?} was sent, and {seen:?} is stored");
        let (sent, seen) = (&m.content_type, &found.content_type);
        ensure!(seen == sent, "the content type {sent:?} was sent, and {seen:?} is stored");
    }
    Ok(Passed::Kept)
}

pub(super) async fn headers_arrive<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("headers").await;
    let transport = harness.transport().await;
    let m = Message::new(&topic, "order.created").key("k").text("headers");
    let m = m.header("trace-id", "00-4bf9-01").header("Tenant", "Müller & 日本").header("quote", "\"a\", b; c=d\\");
    let found = carried(&harness, &transport, &m, |s| s.payload == m.payload).await?;
    let seen: BTreeMap<&str, &str> = found.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    for (header, value) in &m.headers {
        let there = seen.get(header.as_str()) == Some(&value.as_str());
        ensure!(there, "the header {header:?} with {value:?} was sent, and {seen:?} are stored");
    }
    Ok(Passed::Kept)
}

pub(super) async fn sent_again_within_the_window_it_is_stored_once<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("again").await;
    let transport = harness.transport().await;
    let sent = [Message::new(&topic, "order.created").key("k").text("again")];
    for _ in 0..3 {
        deliver::<H>(&transport, &sent).await?;
    }
    // By a successor too.
    deliver::<H>(&harness.transport().await, &sent).await?;
    let seen = stored(&harness, &sent).await?;
    let copies = seen.iter().filter(|s| s.payload == sent[0].payload).count();
    let Some(window) = transport.capabilities().dedup_window else {
        ensure!(copies <= 4, "a message was sent four times, and is stored {copies} times");
        return Ok(Passed::NotDeclared("a deduplication window"));
    };
    ensure!(copies == 1, "a message was sent four times within {window:?}, and is stored {copies} times");
    Ok(Passed::Kept)
}
