use std::ops::Deref;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties};
use testcontainers::{ContainerRequest, GenericImage, ImageExt};
use tokio::sync::{Mutex, OnceCell};

use crate::broker::BrokerKind;
use crate::names;
use crate::{Handle, Nats};

/// So many messages are taken out of a queue one by one.
const FEW: u32 = 50;
/// A consumer that is sent nothing for so long has had it all.
const PAUSE: Duration = Duration::from_millis(100);

static RABBITMQ: BrokerKind = BrokerKind {
    name: "outbox-test-rabbitmq",
    url_variable: "OUTBOX_TEST_RABBITMQ_URL",
    image_variable: "OUTBOX_TEST_RABBITMQ_IMAGE",
    usual_image: ("rabbitmq", "4.0-management"),
    port: 5672,
    url_at: |port| format!("amqp://guest:guest@127.0.0.1:{port}"),
    image,
    answers: |url| answers(url).boxed(),
    shared: OnceCell::const_new(),
};

/// TLS, and only for clients that show a certificate.
const SECURED_CONFIG: &str = "
listeners.ssl.default = 5671
ssl_options.cacertfile = /tls/ca.pem
ssl_options.certfile = /tls/server.pem
ssl_options.keyfile = /tls/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
";
static SECURED: BrokerKind = BrokerKind {
    name: "outbox-test-rabbitmq-secured",
    port: 5671,
    url_at: |port| format!("amqps://guest:guest@127.0.0.1:{port}"),
    image: |image, _| {
        image
            .with_copy_to("/etc/rabbitmq/conf.d/20-tls.conf", SECURED_CONFIG.as_bytes().to_vec())
            .with_copy_to("/tls/ca.pem", Nats::CA.as_bytes().to_vec())
            .with_copy_to("/tls/server.pem", include_bytes!("nats/server.pem").to_vec())
            .with_copy_to("/tls/server.key", include_bytes!("nats/server.key").to_vec())
    },
    answers: |url| answers(url).boxed(),
    shared: OnceCell::const_new(),
    url_variable: "OUTBOX_TEST_RABBITMQ_URL",
    image_variable: "OUTBOX_TEST_RABBITMQ_IMAGE",
    usual_image: ("rabbitmq", "4.0-management"),
};

async fn connect(url: &str) -> Result<Connection, lapin::Error> {
    let tls = OwnedTLSConfig {
        identity: Some(OwnedIdentity::PKCS8 {
            pem: Nats::CLIENT_CERTIFICATE.as_bytes().to_vec(),
            key: Nats::CLIENT_KEY.as_bytes().to_vec(),
        }),
        cert_chain: Some(Nats::CA.to_owned()),
    };
    let tls = if url.starts_with("amqps") { tls } else { OwnedTLSConfig::default() };
    let runtime = lapin::runtime::default_runtime()?;
    Connection::connect_with_config(url, ConnectionProperties::default(), tls, runtime).await
}

async fn answers(url: String) -> Result<(), String> {
    let connection = connect(&url).await.map_err(|e| e.to_string())?;
    connection.create_channel().await.map_err(|e| e.to_string())?;
    drop(connection.close(200, "ready".into()).await);
    Ok(())
}

fn image(image: GenericImage, port: Option<u16>) -> ContainerRequest<GenericImage> {
    let image = ContainerRequest::from(image);
    match port {
        None => image,
        Some(port) => image.with_env_var("RABBITMQ_NODE_PORT", port.to_string()),
    }
}

/// A real RabbitMQ 4 broker: [`shared`](Self::shared) for most tests, [`own`](Self::own) for those that harm it.
#[derive(Debug)]
pub struct RabbitMq {
    broker: Handle,
    /// Of the test's own questions.
    connection: Mutex<Option<Connection>>,
}

impl RabbitMq {
    /// The broker of `OUTBOX_TEST_RABBITMQ_URL` (`amqp://user:password@host:port/vhost`), else one container that all
    /// test processes share (left running).
    ///
    /// # Panics
    /// If there is neither the variable nor a Docker engine, or the broker does not start.
    pub async fn shared() -> Self {
        Self::of(Handle::shared(&RABBITMQ).await)
    }

    /// A container of this test's own, removed on drop. Its data survive [`kill`](Handle::kill).
    ///
    /// # Panics
    /// If there is no Docker engine, or the broker does not start.
    pub async fn own() -> Self {
        Self::of(Handle::own(&RABBITMQ).await)
    }

    /// The same with TLS (`amqps`), for clients with a certificate of [`Nats::CA`](crate::Nats::CA), such as
    /// [`Nats::CLIENT_CERTIFICATE`](crate::Nats::CLIENT_CERTIFICATE).
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_secured() -> Self {
        Self::of(Handle::own(&SECURED).await)
    }

    /// The same in the host's network, for benchmarks.
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_on_host() -> Self {
        Self::of(RABBITMQ.own_on_host().await)
    }

    fn of(broker: Handle) -> Self {
        Self { broker, connection: Mutex::const_new(None) }
    }

    /// A channel to the broker itself, past any proxy. Connections are made anew when the broker was away.
    ///
    /// # Panics
    /// If the broker cannot be reached.
    pub async fn channel(&self) -> Channel {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = connection.as_ref().filter(|c| c.status().connected())
            && let Ok(channel) = connection.create_channel().await
        {
            return channel;
        }
        let made = connect(self.url()).await;
        let made = connection.insert(made.unwrap_or_else(|e| panic!("{}: {e}", self.url())));
        made.create_channel().await.unwrap_or_else(|e| panic!("{}: {e}", self.url()))
    }

    /// A new durable queue whose name begins with the prefix. It is a quorum queue or a classic one.
    ///
    /// # Panics
    /// If it cannot be declared.
    pub async fn queue(&self, prefix: &str, quorum: bool) -> String {
        let name = names::unique(prefix, '-');
        self.queue_named(&name, quorum).await;
        name
    }

    /// The same with exactly this name; it may be there already.
    ///
    /// # Panics
    /// Like [`queue`](Self::queue).
    pub async fn queue_named(&self, name: &str, quorum: bool) {
        self.queue_with(name, quorum, FieldTable::default()).await;
    }

    /// The same with further arguments, for instance `x-max-length`.
    ///
    /// # Panics
    /// Like [`queue`](Self::queue).
    pub async fn queue_with(&self, name: &str, quorum: bool, mut arguments: FieldTable) {
        let kind = if quorum { "quorum" } else { "classic" };
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared = self.channel().await.queue_declare(name.into(), options, arguments).await;
        declared.unwrap_or_else(|e| panic!("the queue {name:?}: {e}"));
    }

    /// Takes everything out of a queue that it holds now, in its order.
    ///
    /// # Panics
    /// If there is no such queue.
    pub async fn take(&self, queue: &str) -> Vec<Delivery> {
        let (channel, mut all) = (self.channel().await, Vec::new());
        let (name, failed) = (ShortString::from(queue), |e: lapin::Error| -> ! { panic!("the queue {queue:?}: {e}") });
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(name.clone(), passive, FieldTable::default()).await;
        if declared.unwrap_or_else(|e| failed(e)).message_count() > FEW {
            self.consume(&channel, &name, &mut all).await.unwrap_or_else(|e| failed(e));
        }
        // What is left tells the end exactly.
        loop {
            match channel.basic_get(name.clone(), BasicGetOptions { no_ack: true }).await {
                Ok(Some(message)) => all.push(message.delivery),
                Ok(None) => return all,
                Err(e) => failed(e),
            }
        }
    }

    /// Many at once, which is quicker than one after the other by far.
    async fn consume(&self, channel: &Channel, queue: &ShortString, all: &mut Vec<Delivery>) -> lapin::Result<()> {
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let mut consumer = channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await?;
        while let Ok(Some(delivery)) = tokio::time::timeout(PAUSE, consumer.next()).await {
            all.push(delivery?);
        }
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        // What came before the cancellation did.
        while let Some(delivery) = consumer.next().await {
            all.push(delivery?);
        }
        Ok(())
    }
}

impl Deref for RabbitMq {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.broker
    }
}
