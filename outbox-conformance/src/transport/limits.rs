//! `LIMITS`: what a message may be.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use outbox_core::memory::MemoryStore;
use outbox_core::transport::Outcome as Said;
use outbox_core::{BatchBuilder, Limits, Message, Relay, StoreRelay, Transport};

use super::drive::{deliver, name, numbered, publish_batch, push, stored};
use super::hostile::{Hostile, hostile};
use super::{Stored, TransportHarness};
use crate::Seen;
use crate::suite::{Outcome, Passed, ensure};

/// By way of a relay. What even an application cannot enqueue needs no relay to be kept away.
pub(super) async fn over_the_limits_it_is_never_published<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("over").await;
    let transport = harness.transport().await;
    let limits = transport.capabilities().limits;
    let store = MemoryStore::new();
    let mut tx = store.begin();
    let good = numbered(&topic, "good", 0..2);
    let over = over(&limits, &topic);
    let mut accepted = Vec::new();
    tx.enqueue(good[0].clone())?;
    for m in over {
        let fits = limits.check(&m).is_ok();
        ensure!(!fits, "{} is over the limits, and they are said to be kept", name(&m));
        if tx.enqueue(m.clone()).is_ok() {
            accepted.push(m);
        }
    }
    tx.enqueue(good[1].clone())?;
    tx.commit();
    let relay = StoreRelay::builder("limits", store.clone(), transport).build()?;
    relay.until_drained(H::DEADLINE * 3).await?;
    let dead = store.dead_letters("limits").len();
    ensure!(dead == accepted.len(), "of {} messages over the limits {dead} are dead letters", accepted.len());
    let seen = stored(&harness, &good).await?;
    ensure!(seen.len() == 2, "two messages are within the limits, and {} are stored", seen.len());
    Ok(Passed::Kept)
}

/// One message for each bound, just over it.
fn over(limits: &Limits, topic: &str) -> Vec<Message> {
    let base = || Message::new(topic, "order.created").key("over");
    let mut over = vec![
        Message::new("t".repeat(limits.topic + 1), "order.created"),
        base().key("k".repeat(limits.key + 1)),
        Message::new(topic, "e".repeat(limits.event_type + 1)),
        headers(base(), limits.header_count, limits.headers + 1),
        headers(base(), limits.header_count + 1, limits.header_count * 8),
    ];
    if limits.payload < 16 << 20 {
        over.push(base().payload(vec![b'x'; limits.payload + 1]));
    }
    over
}

/// So many headers of so many bytes in all.
fn headers(mut m: Message, count: usize, bytes: usize) -> Message {
    let mut left = bytes;
    for n in 0..count {
        let name = format!("h{n}");
        let value = (left / (count - n)).saturating_sub(name.len());
        left = left.saturating_sub(name.len() + value);
        m.headers.push((name, "v".repeat(value)));
    }
    m
}

/// Declared equals actual.
pub(super) async fn at_the_limits_it_is_stored<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("bound").await;
    let transport = harness.transport().await;
    let limits = transport.capabilities().limits;
    let long = harness.topic(&"t".repeat(limits.topic)).await;
    ensure!(long.len() == limits.topic, "the harness made a topic of {} bytes instead of {}", long.len(), limits.topic);
    // Keys are text: of two bytes a character, as far as it goes.
    let key = format!("{}{}", "ü".repeat(limits.key / 2), "k".repeat(limits.key % 2));
    let text = |n: usize| format!("bound/{n}");
    let all = |m: Message| {
        let m = headers(m, limits.header_count, limits.headers).key(&key).content_type("c".repeat(255));
        let mut payload = b"bound/all".to_vec();
        payload.resize(limits.payload.max(payload.len()), b'x');
        m.payload(payload)
    };
    let sent = [
        ("the topic", Message::new(&long, "order.created").key("k0").text(text(0))),
        ("the key", Message::new(&topic, "order.created").key(&key).text(text(1))),
        ("the event type", Message::new(&topic, "e".repeat(limits.event_type)).key("k2").text(text(2))),
        (
            "the headers",
            headers(Message::new(&topic, "order.created").key("k3").text(text(3)), limits.header_count, limits.headers),
        ),
        ("the payload", Message::new(&topic, "order.created").key("k4").payload(vec![b'x'; limits.payload])),
        ("every part", all(Message::new(&long, "e".repeat(limits.event_type)))),
    ];
    for (what, m) in sent {
        ensure!(limits.check(&m).is_ok(), "{what} at the bound is refused by the limits themselves");
        deliver::<H>(&transport, std::slice::from_ref(&m)).await.map_err(|seen| {
            let cut: String = seen.to_string().chars().rev().take(300).collect();
            Seen::new(format!("with {what} at the bound of {limits:?}: ...{}", cut.chars().rev().collect::<String>()))
        })?;
        let seen = stored(&harness, std::slice::from_ref(&m)).await?;
        let whole = seen.iter().any(|s| s.payload == m.payload && as_sent(s, &m));
        ensure!(whole, "with {what} at the bound something of it was lost");
    }
    Ok(Passed::Kept)
}

/// Every part but the payload.
fn as_sent(stored: &Stored, m: &Message) -> bool {
    (&stored.topic, &stored.key, &stored.event_type, &stored.content_type)
        == (&m.topic, &m.key, &m.event_type, &m.content_type)
        && m.headers.iter().all(|header| stored.headers.contains(header))
}

/// Each between two good neighbours, to the transport itself: nobody checked it before.
pub(super) async fn hostile_input_costs_only_itself<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("hostile").await;
    let transport = harness.transport().await;
    for (n, Hostile { what, message, headers, legal }) in
        hostile(&topic, &transport.capabilities().limits).into_iter().enumerate()
    {
        let good: Vec<Message> =
            [format!("{n}-before"), format!("{n}-after")].iter().flat_map(|k| numbered(&topic, k, 0..1)).collect();
        let mut batch = BatchBuilder::new();
        push(&mut batch, 1, &good[0], None);
        push(&mut batch, 2, &message, headers.or(message.headers_json().as_deref()));
        push(&mut batch, 3, &good[1], None);
        let publish = publish_batch::<H>(&transport, batch.finish());
        let Ok(said) = AssertUnwindSafe(publish).catch_unwind().await else {
            return Err(Seen::new(format!("a panic on {what}")));
        };
        for (m, said) in [(&good[0], &said[0]), (&good[1], &said[2])] {
            let kept = matches!(said, Said::Delivered | Said::Unknown(_));
            ensure!(kept, "beside {what}, {} was {said:?}", name(m));
        }
        let unanswered: Vec<Message> = good
            .iter()
            .zip([&said[0], &said[2]])
            .filter(|(_, s)| **s != Said::Delivered)
            .map(|(m, _)| m.clone())
            .collect();
        deliver::<H>(&transport, &unanswered).await.map_err(|seen| Seen::new(format!("beside {what}: {seen}")))?;
        stored(&harness, &good).await?;
        match &said[1] {
            Said::Delivered if headers.is_some() => {}
            Said::Delivered => {
                let seen = stored(&harness, std::slice::from_ref(&message)).await?;
                let copies: Vec<_> = seen.iter().filter(|s| s.payload == message.payload).collect();
                ensure!(copies.iter().all(|s| as_sent(s, &message)), "{what} was delivered, but not as it was sent");
            }
            _ if legal => deliver::<H>(&transport, std::slice::from_ref(&message)).await?,
            Said::Rejected(why) | Said::Destination(why) | Said::Unknown(Some(why)) => {
                ensure!(!why.is_empty(), "{what} was refused without a reason");
            }
            said => return Err(Seen::new(format!("of {what} nothing was said: {said:?}"))),
        }
    }
    Ok(Passed::Kept)
}
