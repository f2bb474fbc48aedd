//! `ORDER`: the order within a key.

use outbox_core::transport::Outcome as Said;
use outbox_core::{KeyOrder, Message, Outcomes, Transport};
use tokio::time::timeout;

use super::TransportHarness;
use super::drive::{batch, deliver, gapless, numbered, said, stored};
use crate::suite::{Outcome, Passed, ensure};

pub(super) const GAPLESS: &str = "KeyOrder::Gapless";

/// Several keys in one batch, the next message of each after the one before was delivered, and two publishes at a time.
pub(super) async fn delivered_before_is_stored_before<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("order").await;
    let transport = harness.transport().await;
    let keys = |half: usize| (0..4).map(move |k| format!("k{half}{k}"));
    let mut all: Vec<Message> = Vec::new();
    for n in 0..12 {
        let half = |half| -> Vec<Message> {
            let mut heads: Vec<Message> = keys(half).flat_map(|key| numbered(&topic, &key, n..n + 1)).collect();
            // Another key comes first each time.
            heads.rotate_left(n % 4);
            heads
        };
        let (a, b) = (half(0), half(1));
        let (left, right) = tokio::join!(deliver::<H>(&transport, &a), deliver::<H>(&transport, &b));
        left.and(right)?;
        all.extend(a.into_iter().chain(b));
    }
    let seen = stored(&harness, &all).await?;
    keys(0).chain(keys(1)).try_for_each(|key| gapless(&seen, &key))?;
    Ok(Passed::Kept)
}

/// Publishes of different sizes in flight together, made in another order than that in which they are first polled.
pub(super) async fn order_of_first_polls<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("first-polls").await;
    let transport = harness.transport().await;
    if transport.capabilities().key_order != KeyOrder::Gapless {
        return Ok(Passed::NotDeclared(GAPLESS));
    }
    deliver::<H>(&transport, &numbered(&topic, "warm", 0..1)).await?;
    let (mut start, mut publishes) = (0, Vec::new());
    for size in [200, 1, 150, 2, 90, 40, 1, 1] {
        publishes.push(interleaved(&topic, &["a", "b", "c"], start..start + size));
        start += size;
    }
    let outs: Vec<Outcomes> = publishes.iter().map(|messages| Outcomes::new(messages.len())).collect();
    let mut futures: Vec<_> = publishes
        .iter()
        .zip(&outs)
        .rev()
        .map(|(m, out)| timeout(H::DEADLINE * 3, transport.publish(batch(m), out)))
        .collect();
    futures.reverse();
    // Polls them in this order.
    futures_util::future::join_all(futures).await;
    for out in &outs {
        let bad = said(out).into_iter().find(|s| *s != Said::Delivered);
        ensure!(bad.is_none(), "without any fault a message was {bad:?}");
    }
    let all: Vec<Message> = publishes.into_iter().flatten().collect();
    let seen = stored(&harness, &all).await?;
    ["a", "b", "c"].iter().try_for_each(|key| gapless(&seen, key))?;
    Ok(Passed::Kept)
}

/// The same numbers for each key, in turns.
pub(super) fn interleaved(topic: &str, keys: &[&str], numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.flat_map(|n| keys.iter().flat_map(move |key| numbered(topic, key, n..n + 1))).collect()
}
