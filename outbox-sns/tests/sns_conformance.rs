//! The published suite against LocalStack, by a proxy where connections are to fail: on FIFO topics every clause, on
//! standard topics every clause but the order within a key, which those do not keep.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outbox_conformance::transport::{Faults, Stored, TransportHarness, cases};
use outbox_core::Message;
use outbox_sns::{SnsConfig, SnsTransport};
use testkit::{Localstack, Proxy, SnsMessage, SnsTopic, free_port};

outbox_conformance::transport_suite!(Fifo);

#[test]
fn standard_topics_keep_every_clause_but_the_order() {
    let ordered = ["ORDER-1", "RECOVER-1", "CANCEL-1"];
    for case in cases::<Standard>().into_iter().filter(|case| !ordered.contains(&case.id())) {
        case.test(Standard::start);
    }
}

struct Broker {
    localstack: Localstack,
    /// Where clients find it.
    url: String,
    topics: Mutex<Vec<(String, Arc<SnsTopic>)>>,
}

impl Broker {
    async fn start() -> Self {
        let localstack = Localstack::shared().await;
        Self { url: localstack.url().to_owned(), localstack, topics: Mutex::default() }
    }

    /// `name`: at SNS; the outbox does not know of `.fifo`.
    async fn topic(&self, name: &str) -> String {
        let topic = self.localstack.topic(name).await;
        let name = topic.name().strip_suffix(".fifo").unwrap_or(topic.name()).to_owned();
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).push((name.clone(), Arc::new(topic)));
        name
    }

    async fn transport(&self, config: SnsConfig) -> SnsTransport {
        let client = aws_sdk_sns::Client::new(&self.localstack.settings().await);
        SnsTransport::with_client(config.endpoint(&self.url), client).expect("valid settings")
    }

    async fn stored(&self) -> Vec<Stored> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut stored = Vec::new();
        for (name, topic) in topics {
            stored.extend(topic.messages().await.into_iter().map(|m| read(&name, m)));
        }
        stored
    }

    async fn faults(&mut self) -> Option<Arc<dyn Faults>> {
        let port = free_port();
        self.url = self.localstack.url_by(port);
        let upstream = format!("127.0.0.1:{}", self.localstack.port());
        Some(Arc::new(Proxy::start_on(port, upstream).await.expect("a free port")))
    }
}

/// Within the limit of the payload, but not as base64.
fn poison(topic: String) -> Option<Message> {
    Some(Message::new(topic, "order.created").payload(vec![0xff; 200_000]))
}

macro_rules! harness {
    ($name:ident, $ending:literal, $config:expr) => {
        struct $name(Broker);

        impl TransportHarness for $name {
            type Transport = SnsTransport;

            async fn start() -> Self {
                Self(Broker::start().await)
            }

            async fn transport(&self) -> SnsTransport {
                self.0.transport($config).await
            }

            async fn stored(&self) -> Vec<Stored> {
                self.0.stored().await
            }

            async fn topic(&self, name: &str) -> String {
                self.0.topic(&format!("{name}{}", $ending)).await
            }

            async fn faults(&mut self) -> Option<Arc<dyn Faults>> {
                self.0.faults().await
            }

            async fn poison(&self) -> Option<Message> {
                poison(self.topic("poison").await)
            }

            async fn nowhere(&self) -> Option<String> {
                Some("never-created".into())
            }
        }
    };
}
harness!(Fifo, ".fifo", SnsConfig::new(Localstack::ARN_PREFIX).fifo());
harness!(
    Standard,
    "",
    SnsConfig::new(Localstack::ARN_PREFIX)
        .attempt_timeout(Duration::from_secs(1))
        .give_up_after(Duration::from_secs(2))
);

/// As the crate's documentation tells consumers to.
fn read(topic: &str, m: SnsMessage) -> Stored {
    let mut headers: Vec<(String, String)> = m.attributes.into_iter().collect();
    if let Some(i) = headers.iter().position(|(name, _)| name == "headers") {
        let json = headers.swap_remove(i).1;
        let packed: std::collections::BTreeMap<String, String> = serde_json::from_str(&json).expect("a JSON object");
        headers.extend(packed);
    }
    let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    Stored {
        id: header("message-id").unwrap_or_default(),
        topic: topic.into(),
        key: header("message-key"),
        event_type: header("event-type").unwrap_or_default(),
        payload: match header("payload-encoding").as_deref() {
            Some("base64") => STANDARD.decode(&m.body).expect("base64"),
            Some("empty") => Vec::new(),
            _ => m.body.into_bytes(),
        },
        content_type: header("content-type"),
        headers,
    }
}
