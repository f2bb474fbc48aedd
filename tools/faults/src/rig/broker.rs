use outbox_core::Message;
use pairings::{KafkaBroker, LARGEST, NatsBroker, RabbitMqBroker};
use testkit::{Proxy, free_port};

use crate::BrokerKind;

/// A broker of the rig's own behind a proxy.
#[derive(Debug)]
pub(super) struct Broker {
    kind: Kind,
    pub(super) proxy: Proxy,
}

#[derive(Debug)]
enum Kind {
    Kafka(KafkaBroker),
    RabbitMq(Box<RabbitMqBroker>),
    Nats(NatsBroker),
}

impl Broker {
    pub(super) async fn start(kind: BrokerKind) -> anyhow::Result<Self> {
        let at = |port: u16| format!("127.0.0.1:{port}");
        Ok(match kind {
            BrokerKind::Kafka => {
                let port = free_port();
                let broker = KafkaBroker::start_behind(port).await;
                let proxy = Proxy::start_on(port, at(broker.server().direct_port())).await?;
                Self { kind: Kind::Kafka(broker), proxy }
            }
            BrokerKind::RabbitMq => {
                let broker = RabbitMqBroker::start().await;
                let proxy = Proxy::start(at(broker.server().port())).await?;
                Self { kind: Kind::RabbitMq(Box::new(broker)), proxy }
            }
            BrokerKind::Nats => {
                let broker = NatsBroker::start().await;
                let proxy = Proxy::start(at(broker.server().port())).await?;
                Self { kind: Kind::Nats(broker), proxy }
            }
        })
    }

    /// For the relays, by the proxy.
    pub(super) fn url(&self) -> String {
        let port = self.proxy.addr().port();
        match &self.kind {
            Kind::Kafka(_) => format!("kafka://127.0.0.1:{port}"),
            Kind::RabbitMq(broker) => broker.server().url_by(port),
            Kind::Nats(broker) => broker.server().url_by(port),
        }
    }

    /// To make places, to kill and to read: past the proxy.
    pub(super) fn direct(&self) -> &dyn pairings::Broker {
        match &self.kind {
            Kind::Kafka(broker) => broker,
            Kind::RabbitMq(broker) => &**broker,
            Kind::Nats(broker) => broker,
        }
    }

    pub(super) async fn kill(&self) {
        self.direct().fail().await;
    }

    pub(super) async fn start_again(&self) {
        self.direct().recover().await;
    }

    pub(super) async fn freeze(&self) {
        match &self.kind {
            Kind::Kafka(broker) => broker.server().pause().await,
            Kind::RabbitMq(broker) => broker.server().pause().await,
            Kind::Nats(broker) => broker.server().pause().await,
        }
    }

    pub(super) async fn thaw(&self) {
        match &self.kind {
            Kind::Kafka(broker) => broker.server().unpause().await,
            Kind::RabbitMq(broker) => broker.server().unpause().await,
            Kind::Nats(broker) => broker.server().unpause().await,
        }
    }

    /// A message that this broker itself refuses, for good, and that every client hands over.
    pub(super) fn poison(&self, topic: &str) -> Message {
        let message = Message::new(topic, "poison");
        match &self.kind {
            // It wants a list of routing keys in this header.
            Kind::RabbitMq(_) => message.text("poison").header("CC", "a text"),
            Kind::Kafka(_) | Kind::Nats(_) => message.payload(vec![b'x'; LARGEST + 100_000]),
        }
    }
}
