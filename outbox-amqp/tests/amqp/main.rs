//! The transport against a real RabbitMQ.

mod alarm;
mod check;
mod ended;
mod faults;
mod password;
mod refused;
mod routing;
mod silent;
mod tls;

use std::time::Duration;

use outbox_amqp::{AmqpConfig, AmqpTransport};
use outbox_core::transport::Outcome;
use outbox_core::{Batch, Transport};
use testkit::{RabbitMq, Sample, batch, publish};

const SOON: Duration = Duration::from_secs(30);

/// Its text is its number.
fn number<'a>(topic: &'a str, key: impl ToString, n: i64) -> Sample<'a> {
    Sample::new(topic).key(key.to_string()).text(n)
}

/// Numbered payloads, each of another key.
fn numbers(topic: &str, range: std::ops::Range<i64>) -> Batch {
    batch(range.start, &range.map(|n| number(topic, n, n)).collect::<Vec<_>>())
}

fn connect(url: &str) -> AmqpTransport {
    AmqpTransport::connect(AmqpConfig::new(url)).expect("valid settings")
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
