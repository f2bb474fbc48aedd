//! How the cases use a transport: as the relay does.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_core::{Batch, BatchBuilder, KeyOrder, Message, Outcomes, Row, Transport};
use tokio::time::{Instant, timeout};

use super::{Stored, TransportHarness};
use crate::Seen;

/// The pace at which something is tried or looked at again.
const PACE: Duration = Duration::from_millis(5);

/// What was said of the messages of one publish.
pub(super) type Said = Vec<Outcome>;

/// The messages as a store hands them out.
pub(super) fn batch(messages: &[Message]) -> Batch {
    let mut batch = BatchBuilder::new();
    for (seq, m) in (1..).zip(messages) {
        push(&mut batch, seq, m, m.headers_json().as_deref());
    }
    batch.finish()
}

/// Adds a message with headers as another writer may have left them.
pub(super) fn push(batch: &mut BatchBuilder, seq: i64, m: &Message, headers: Option<&str>) {
    batch.push(&Row {
        seq,
        id: m.id.as_uuid().as_u128(),
        created_at: 1_700_000_000_000_000,
        topic: &m.topic,
        key: m.key.as_deref(),
        event_type: &m.event_type,
        payload: &m.payload,
        content_type: m.content_type.as_deref(),
        headers,
    });
}

/// Messages of one key whose payloads are their numbers: `label/0`, `label/1`, ...
pub(super) fn numbered(topic: &str, label: &str, numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.map(|n| Message::new(topic, "order.created").key(label).text(format!("{label}/{n}"))).collect()
}

/// Publishes within the harness' deadline, after which the future is dropped and what was not said is unknown.
pub(super) async fn publish<H: TransportHarness>(transport: &H::Transport, messages: &[Message]) -> Said {
    publish_batch::<H>(transport, batch(messages)).await
}

pub(super) async fn publish_batch<H: TransportHarness>(transport: &H::Transport, batch: Batch) -> Said {
    let out = Outcomes::new(batch.len());
    _ = timeout(H::DEADLINE, transport.publish(batch, &out)).await;
    said(&out)
}

/// Ends what can be said, and tells what was.
pub(super) fn said(out: &Outcomes) -> Said {
    out.close();
    (0..out.len()).map(|i| out.get(i)).collect()
}

/// Hands over, in order of the keys, and again what was not delivered, until all is.
pub(super) async fn deliver<H: TransportHarness>(transport: &H::Transport, messages: &[Message]) -> Result<(), Seen> {
    let mut left: Vec<&Message> = messages.iter().collect();
    let mut last = Instant::now();
    while !left.is_empty() {
        let turn = turn(transport.capabilities().key_order, &left);
        let said = publish::<H>(transport, &turn.iter().map(|i| left[*i].clone()).collect::<Vec<_>>()).await;
        let delivered: HashSet<usize> =
            turn.iter().zip(&said).filter(|(_, o)| **o == Outcome::Delivered).map(|(i, _)| *i).collect();
        if delivered.is_empty() {
            let failed = format!("{} was not delivered, but {:?}", name(left[turn[0]]), said[0]);
            if let Some((i, o)) = turn.iter().zip(&said).find(|(_, o)| matches!(o, Outcome::Rejected(_))) {
                return Err(Seen::new(format!("{} was not delivered, but {o:?}", name(left[*i]))));
            }
            if last.elapsed() > H::DEADLINE * 2 {
                return Err(Seen::new(format!("within {:?} {failed}", last.elapsed())));
            }
            pace().await;
            continue;
        }
        last = Instant::now();
        left = left.into_iter().enumerate().filter(|(i, _)| !delivered.contains(i)).map(|(_, m)| m).collect();
    }
    Ok(())
}

/// What may be handed over now: with one in flight the first of each key, else everything.
fn turn(order: KeyOrder, left: &[&Message]) -> Vec<usize> {
    let mut keys = HashSet::new();
    let free = |m: &Message| order == KeyOrder::Gapless || m.key.as_ref().is_none_or(|key| keys.insert(key.clone()));
    let mut free = free;
    (0..left.len()).filter(|i| free(left[*i])).collect()
}

/// How a message is called in what was seen.
pub(super) fn name(m: &Message) -> String {
    let payload = String::from_utf8_lossy(&m.payload[..m.payload.len().min(60)]);
    let key = m.key.as_deref().map(short);
    format!("the message {:?} (key {key:?}, topic {:?})", short(&payload), short(&m.topic))
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// What is stored, once all these payloads are.
pub(super) async fn stored<H: TransportHarness>(harness: &H, messages: &[Message]) -> Result<Vec<Stored>, Seen> {
    let start = Instant::now();
    loop {
        let stored = harness.stored().await;
        let there: HashSet<_> = stored.iter().map(|s| mark(&s.payload)).collect();
        let Some(absent) = messages.iter().find(|m| !there.contains(&mark(&m.payload))) else { return Ok(stored) };
        if start.elapsed() > H::DEADLINE {
            return Err(Seen::new(format!("{} was delivered, and is not stored", name(absent))));
        }
        pace().await;
    }
}

/// What tells the suite's payloads apart.
fn mark(payload: &[u8]) -> (usize, &[u8]) {
    (payload.len(), &payload[..payload.len().min(64)])
}

/// The numbers of `label` in the order of their first copies.
fn first_copies(stored: &[Stored], label: &str) -> Vec<usize> {
    let (mut first, mut seen) = (Vec::new(), HashSet::new());
    let numbers =
        stored.iter().filter_map(|s| s.text().strip_prefix(label)?.strip_prefix('/')?.trim_end().parse().ok());
    for n in numbers {
        if seen.insert(n) {
            first.push(n);
        }
    }
    first
}

/// Fails where a later message of `label` is stored before an earlier one, or without it.
pub(super) fn gapless(stored: &[Stored], label: &str) -> Result<(), Seen> {
    let first = first_copies(stored, label);
    let Some((place, n)) = first.iter().enumerate().find(|(place, n)| place != *n) else { return Ok(()) };
    Err(Seen::new(format!(
        "of the key {label:?} message {n} is stored where message {place} was due; the order of the first copies is {:?}",
        &first[place.saturating_sub(3)..first.len().min(place + 4)]
    )))
}

/// Polls the future so many times at most. `None`: it had not ended by then, and is dropped when the others of its task
/// have had their turn.
pub(super) async fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), polls);
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        if left == 0 {
            cx.waker().wake_by_ref();
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Looks again and again, without a pause, until the condition holds.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// Waits for the next try.
pub(super) async fn pace() {
    let mut ticks = tokio::time::interval(PACE);
    ticks.tick().await;
    ticks.tick().await;
}
