//! Where a relay carries messages: the brokers, as `outbox.toml` names them.

mod amqp;
mod kafka;
mod nats;
mod sns;

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use outbox::Transport;
use outbox::wire::WireFormat;
use serde::Deserialize;

/// One of the brokers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(crate) enum Target {
    Kafka(kafka::KafkaTarget),
    Amqp(amqp::AmqpTarget),
    Nats(nats::NatsTarget),
    Sns(sns::SnsTarget),
}

impl Target {
    /// The transport. Nothing is connected yet.
    pub(crate) fn connect(&self) -> Result<Arc<dyn Transport>> {
        match self {
            Self::Kafka(target) => target.connect(),
            Self::Amqp(target) => target.connect(),
            Self::Nats(target) => target.connect(),
            Self::Sns(target) => target.connect(),
        }
    }
}

/// `format = { cloud_events = "binary", source = "/orders" }`. Default: the payload as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Format {
    cloud_events: Mode,
    source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Binary,
    Structured,
}

impl Format {
    fn wire(format: Option<&Self>) -> WireFormat {
        match format {
            None => WireFormat::raw(),
            Some(Self { cloud_events: Mode::Binary, source }) => WireFormat::cloud_events_binary(source),
            Some(Self { cloud_events: Mode::Structured, source }) => WireFormat::cloud_events_structured(source),
        }
    }
}

/// A URL that may hold a password: in the file, or in an environment variable that the file names.
fn url(broker: &str, url: Option<&String>, variable: Option<&String>) -> Result<String> {
    match (url, variable) {
        (Some(url), None) => Ok(url.clone()),
        (None, Some(name)) => environment(name),
        _ => bail!("{broker} needs either url or url_env"),
    }
}

pub(crate) fn environment(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("the environment variable {name} is not set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        #[derive(Deserialize)]
        struct To {
            to: Target,
        }
        toml::from_str::<To>(text).expect("valid").to
    }

    #[test]
    fn every_broker_is_connected_with_all_its_settings() {
        for text in [
            r#"to = { kafka = { bootstrap = "localhost:9092", options = { "linger.ms" = "5" } } }"#,
            r#"to = { amqp = { url = "amqp://guest:guest@localhost", exchange = "orders", max_payload = 1000 } }"#,
            r#"to = { nats = { url = "nats://localhost:4222", subject_prefix = "shop", dedup_window_seconds = 600, atomic_batches = true } }"#,
            r#"to = { sns = { arn_prefix = "arn:aws:sns:eu-west-1:123456789012:", fifo = true, endpoint = "http://localhost:4566", topics = { orders = "arn:aws:sns:eu-west-1:123456789012:o.fifo" } } }"#,
        ] {
            let connected = target(text).connect();
            assert!(connected.is_ok(), "{text}: {connected:?}");
        }
    }

    #[test]
    fn what_cannot_work_is_said() {
        for (text, word) in [
            (r#"to = { amqp = {} }"#, "url_env"),
            (r#"to = { nats = { url_env = "OUTBOX_NO_SUCH_VARIABLE" } }"#, "OUTBOX_NO_SUCH_VARIABLE"),
            (r#"to = { amqp = { url = "http://localhost" } }"#, "amqp://"),
            (r#"to = { kafka = { bootstrap = "b:1", format = { cloud_events = "binary", source = "" } } }"#, "source"),
        ] {
            let error = format!("{:#}", target(text).connect().map(drop).expect_err(text));
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    }
}
