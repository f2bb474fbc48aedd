//! Where a relay carries messages: the brokers, as `outbox.toml` names them.

mod amqp;
mod kafka;
mod nats;
mod sns;

use std::path::Path;
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

fn file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
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

    /// What the transport shows of itself: every setting has to be in it.
    fn shown(text: &str) -> String {
        format!("{:?}", target(text).connect().expect(text))
    }

    #[test]
    fn every_broker_is_connected_with_all_its_settings() {
        for (text, settings) in [
            (
                r#"to = { kafka = { bootstrap = "localhost:9092", max_payload = 1000, declare = { partitions = 7, replication = 3 }, options = { "linger.ms" = "5" } } }"#,
                &["payload: 1000", "partitions: 7", "replication: 3"][..],
            ),
            (
                r#"to = { kafka = { url = "kafka://shop:hunter2@a:1", format = { cloud_events = "binary", source = "/s" } } }"#,
                &["Binary", "/s"],
            ),
            (
                r#"to = { amqp = { url = "amqp://guest:hunter2@localhost/v", exchange = "orders", max_payload = 1000, declare = "classic", connection_name = "shop", deadline_seconds = 7 } }"#,
                &["payload: 1000", "orders", "Classic", "\"shop\"", "7s", "vhost: \"v\""],
            ),
            (
                r#"to = { nats = { url = "nats://app:hunter2@localhost:4222", subject_prefix = "shop", domain = "hub", declare = { stream = "S", subjects = ["shop.>"] }, ack_timeout_seconds = 3, dedup_window_seconds = 600, atomic_batches = true, max_payload = 1000 } }"#,
                &["Gapless", "payload: 1000", "\"shop\"", "$JS.hub.API", "shop.>", "ack_timeout: 3s", "600s"],
            ),
            (
                r#"to = { sns = { arn_prefix = "arn:aws:sns:eu-west-1:123456789012:", fifo = true, endpoint = "http://localhost:4566", topics = { orders = "arn:aws:sns:eu-west-1:123456789012:o.fifo" }, declare = true, in_flight = 5, attempt_timeout_seconds = 2, give_up_after_seconds = 6, max_payload = 1000 } }"#,
                &[
                    "o.fifo",
                    "localhost:4566",
                    "declare: true",
                    "in_flight: 5",
                    "2s",
                    "6s",
                    "payload: 1000",
                    "fifo: true",
                ],
            ),
        ] {
            let shown = shown(text);
            for setting in settings {
                assert!(shown.contains(setting), "{setting:?} is not in {shown}");
            }
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn files_are_read_before_anything_is_connected() {
        for text in [
            r#"to = { amqp = { url = "amqps://localhost", root_certificates = "/nowhere.pem" } }"#,
            r#"to = { amqp = { url = "amqps://localhost", client_certificate = "/nowhere.pem", client_key = "/k" } }"#,
        ] {
            let error = format!("{:#}", target(text).connect().map(drop).expect_err(text));
            assert!(error.contains("/nowhere.pem cannot be read"), "{error}");
        }
    }

    #[test]
    fn what_cannot_work_is_said() {
        for (text, word) in [
            (r#"to = { amqp = {} }"#, "url_env"),
            (r#"to = { kafka = {} }"#, "bootstrap"),
            (r#"to = { kafka = { bootstrap = "a:1", url = "kafka://a:1" } }"#, "one of"),
            (r#"to = { kafka = { bootstrap = "kafka://a:1" } }"#, "URL"),
            (r#"to = { kafka = { url_env = "OUTBOX_NO_SUCH_VARIABLE" } }"#, "OUTBOX_NO_SUCH_VARIABLE"),
            (r#"to = { kafka = { bootstrap = "a:1", declare = { partitions = 0, replication = 1 } } }"#, "partitions"),
            (r#"to = { amqp = { url = "amqps://a", client_key = "k.pem" } }"#, "go together"),
            (r#"to = { nats = { url = "nats://a", client_certificate = "c.pem" } }"#, "go together"),
            (
                r#"to = { nats = { url = "nats://a", token_env = "OUTBOX_NO_SUCH_VARIABLE" } }"#,
                "OUTBOX_NO_SUCH_VARIABLE",
            ),
            (
                r#"to = { nats = { url = "nats://a", nkey_env = "OUTBOX_NO_SUCH_VARIABLE" } }"#,
                "OUTBOX_NO_SUCH_VARIABLE",
            ),
            (r#"to = { nats = { url_env = "OUTBOX_NO_SUCH_VARIABLE" } }"#, "OUTBOX_NO_SUCH_VARIABLE"),
            (r#"to = { amqp = { url = "http://localhost" } }"#, "amqp://"),
            (r#"to = { kafka = { bootstrap = "b:1", format = { cloud_events = "binary", source = "" } } }"#, "source"),
        ] {
            let error = format!("{:#}", target(text).connect().map(drop).expect_err(text));
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    }
}
