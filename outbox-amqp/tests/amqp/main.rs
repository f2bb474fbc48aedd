//! The transport against a real RabbitMQ.

mod alarm;
mod check;
mod faults;
mod refused;
mod routing;

use std::time::Duration;

use outbox_amqp::{AmqpConfig, AmqpTransport};
use outbox_core::transport::Outcome;
use outbox_core::{Batch, BatchBuilder, Outcomes, Row, Transport};
use testkit::RabbitMq;

const SOON: Duration = Duration::from_secs(30);

/// A message but for its id, which is its number.
struct Sample<'a> {
    topic: &'a str,
    key: Option<String>,
    payload: Vec<u8>,
    headers: Option<&'a str>,
}

impl<'a> Sample<'a> {
    /// Its number is its payload.
    fn number(topic: &'a str, key: &str, n: i64) -> Self {
        Self { topic, key: Some(key.into()), payload: n.to_string().into_bytes(), headers: None }
    }
}

fn batch(first: i64, samples: &[Sample<'_>]) -> Batch {
    let mut batch = BatchBuilder::new();
    for (seq, s) in (first..).zip(samples) {
        batch.push(&Row {
            seq,
            id: seq as u128,
            created_at: 1_700_000_000_000_000,
            topic: s.topic,
            key: s.key.as_deref(),
            event_type: "order.created",
            payload: &s.payload,
            content_type: Some("text/plain"),
            headers: s.headers,
        });
    }
    batch.finish()
}

/// Numbered payloads, each of another key.
fn numbers(topic: &str, range: std::ops::Range<i64>) -> Batch {
    let sample = |n: i64| Sample::number(topic, &n.to_string(), n);
    batch(range.start, &range.map(sample).collect::<Vec<_>>())
}

fn connect(url: &str) -> AmqpTransport {
    AmqpTransport::connect(AmqpConfig::new(url)).expect("valid settings")
}

/// Publishes as the relay does: within a deadline, after which the future is dropped and the outcomes are closed.
async fn publish(transport: &AmqpTransport, batch: &Batch, deadline: Duration) -> Vec<Outcome> {
    let out = Outcomes::new(batch.len());
    _ = tokio::time::timeout(deadline, transport.publish(batch.clone(), &out)).await;
    out.close();
    (0..out.len()).map(|i| out.get(i)).collect()
}

/// The payloads of everything in the queue, which is empty then.
async fn texts(broker: &RabbitMq, queue: &str) -> Vec<String> {
    broker.take(queue).await.into_iter().map(|m| String::from_utf8_lossy(&m.data).into_owned()).collect()
}

fn all_delivered(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|o| *o == Outcome::Delivered)
}

fn all_unknown(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|o| matches!(o, Outcome::Unknown(_)))
}
