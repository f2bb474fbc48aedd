//! The published suite against a real RabbitMQ, by a proxy where connections are to fail.

use std::sync::Arc;

use lapin::message::Delivery;
use lapin::types::{AMQPValue, ShortString};
use outbox_amqp::{AmqpConfig, AmqpTransport};
use outbox_conformance::transport::{Faults, Stored, TransportHarness};
use outbox_core::Message;
use testkit::{Proxy, RabbitMq};
use tokio::sync::Mutex;

outbox_conformance::transport_suite!(Harness);

struct Harness {
    broker: RabbitMq,
    url: String,
    /// The queues, and what was taken out of each.
    taken: Mutex<Vec<(String, Vec<Stored>)>>,
}

impl TransportHarness for Harness {
    type Transport = AmqpTransport;

    async fn start() -> Self {
        let broker = RabbitMq::shared().await;
        Self { url: broker.url().to_owned(), broker, taken: Mutex::default() }
    }

    async fn transport(&self) -> AmqpTransport {
        AmqpTransport::connect(AmqpConfig::new(&self.url)).expect("valid settings")
    }

    async fn stored(&self) -> Vec<Stored> {
        let mut taken = self.taken.lock().await;
        for (queue, stored) in taken.iter_mut() {
            stored.extend(self.broker.take(queue).await.into_iter().map(read));
        }
        taken.iter().flat_map(|(_, stored)| stored.clone()).collect()
    }

    async fn topic(&self, name: &str) -> String {
        // The testkit adds 22 bytes that no other queue has.
        let prefix = &name[..name.len().saturating_sub(22).max(name.len().min(18))];
        let mut taken = self.taken.lock().await;
        // A replicated queue and one that is not.
        let queue = self.broker.queue(prefix, taken.len().is_multiple_of(2)).await;
        taken.push((queue.clone(), Vec::new()));
        queue
    }

    async fn faults(&mut self) -> Option<Arc<dyn Faults>> {
        // Only the way to it is broken.
        let proxy = Proxy::start(format!("127.0.0.1:{}", self.broker.port())).await.expect("a free port");
        self.url = self.broker.url_by(proxy.addr().port());
        Some(Arc::new(proxy))
    }

    async fn poison(&self) -> Option<Message> {
        // RabbitMQ wants a list here.
        Some(Message::new(self.topic("poison").await, "order.created").header("CC", "text").text("poison"))
    }

    async fn nowhere(&self) -> Option<String> {
        Some("never-declared".into())
    }
}

fn read(message: Delivery) -> Stored {
    let properties = &message.properties;
    let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let headers: Vec<(String, String)> =
        properties.headers().iter().flat_map(|table| table.inner()).map(header).collect();
    Stored {
        id: text(properties.message_id()).unwrap_or_default(),
        key: headers.iter().find(|(name, _)| name == "message-key").map(|(_, value)| value.clone()),
        event_type: text(properties.kind()).unwrap_or_default(),
        content_type: text(properties.content_type()),
        headers,
        topic: message.routing_key.as_str().to_owned(),
        payload: message.data,
    }
}

fn header((name, value): (&ShortString, &AMQPValue)) -> (String, String) {
    let value = match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        other => format!("{other:?}"),
    };
    (name.as_str().to_owned(), value)
}
