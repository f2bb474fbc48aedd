use std::ops::Deref;

use futures_util::FutureExt;
use lapin::{Connection, ConnectionProperties};
use testcontainers::{ContainerRequest, GenericImage, ImageExt};
use tokio::sync::OnceCell;

use crate::Broker;
use crate::broker::BrokerKind;

static RABBITMQ: BrokerKind = BrokerKind {
    name: "outbox-test-rabbitmq",
    url_variable: "OUTBOX_TEST_RABBITMQ_URL",
    image_variable: "OUTBOX_TEST_RABBITMQ_IMAGE",
    usual_image: ("rabbitmq", "4.0-management"),
    port: 5672,
    url_at: |port| format!("amqp://guest:guest@127.0.0.1:{port}"),
    image,
    ready: |url| {
        async move {
            let connection = Connection::connect(&url, ConnectionProperties::default()).await;
            let connection = connection.map_err(|e| e.to_string())?;
            connection.create_channel().await.map_err(|e| e.to_string())?;
            drop(connection.close(200, "ready".into()).await);
            Ok(())
        }
        .boxed()
    },
    shared: OnceCell::const_new(),
};

fn image(image: GenericImage, port: Option<u16>) -> ContainerRequest<GenericImage> {
    let image = ContainerRequest::from(image);
    match port {
        None => image,
        Some(port) => image.with_env_var("RABBITMQ_NODE_PORT", port.to_string()),
    }
}

/// A real RabbitMQ 4 broker: [`shared`](Self::shared) for most tests, [`own`](Self::own) for those that harm it.
#[derive(Debug)]
pub struct RabbitMq(Broker);

impl RabbitMq {
    /// The broker of `OUTBOX_TEST_RABBITMQ_URL` (`amqp://user:password@host:port/vhost`), else one container that all
    /// test processes share (left running).
    ///
    /// # Panics
    /// If there is neither the variable nor a Docker engine, or the broker does not start.
    pub async fn shared() -> Self {
        Self(Broker::shared(&RABBITMQ).await)
    }

    /// A container of this test's own, removed on drop. Its data survive [`kill`](Broker::kill).
    ///
    /// # Panics
    /// If there is no Docker engine, or the broker does not start.
    pub async fn own() -> Self {
        Self(Broker::own(&RABBITMQ).await)
    }

    /// The same in the host's network, for benchmarks.
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_on_host() -> Self {
        Self(Broker::own_on_host(&RABBITMQ).await)
    }
}

impl Deref for RabbitMq {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.0
    }
}
