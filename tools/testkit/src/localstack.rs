use std::ops::Deref;

use aws_config::Region;
use futures_util::FutureExt;
use testcontainers::{ContainerRequest, GenericImage, ImageExt};
use tokio::sync::OnceCell;

use crate::Broker;
use crate::broker::BrokerKind;

static LOCALSTACK: BrokerKind = BrokerKind {
    name: "outbox-test-localstack",
    url_variable: "OUTBOX_TEST_LOCALSTACK_URL",
    image_variable: "OUTBOX_TEST_LOCALSTACK_IMAGE",
    usual_image: ("localstack/localstack", "4.14.0"),
    port: 4566,
    url_at: |port| format!("http://127.0.0.1:{port}"),
    image,
    ready: |url| {
        async move {
            let sns = aws_sdk_sns::Client::new(&settings(&url).await);
            sns.list_topics().send().await.map_err(|e| format!("{e:?}"))?;
            let sqs = aws_sdk_sqs::Client::new(&settings(&url).await);
            sqs.list_queues().send().await.map(drop).map_err(|e| format!("{e:?}"))
        }
        .boxed()
    },
    shared: OnceCell::const_new(),
};

fn image(image: GenericImage, port: Option<u16>) -> ContainerRequest<GenericImage> {
    let listen = format!("0.0.0.0:{}", port.unwrap_or(4566));
    image.with_env_var("GATEWAY_LISTEN", listen).with_env_var("SERVICES", "sns,sqs")
}

async fn settings(url: &str) -> aws_config::SdkConfig {
    aws_config::defaults(aws_config::BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("us-east-1"))
        .test_credentials()
        .load()
        .await
}

/// A LocalStack with SNS and SQS: [`shared`](Self::shared) for most tests, [`own`](Self::own) for those that harm it.
/// It keeps nothing over a restart.
#[derive(Debug)]
pub struct Localstack(Broker);

impl Localstack {
    /// That of `OUTBOX_TEST_LOCALSTACK_URL` (`http://host:port`), else one container that all test processes share
    /// (left running).
    ///
    /// # Panics
    /// If there is neither the variable nor a Docker engine, or it does not start.
    pub async fn shared() -> Self {
        Self(Broker::shared(&LOCALSTACK).await)
    }

    /// A container of this test's own, removed on drop.
    ///
    /// # Panics
    /// If there is no Docker engine, or it does not start.
    pub async fn own() -> Self {
        Self(Broker::own(&LOCALSTACK).await)
    }

    /// The same in the host's network, for benchmarks.
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_on_host() -> Self {
        Self(Broker::own_on_host(&LOCALSTACK).await)
    }

    /// The settings of clients: its endpoint, a region and credentials.
    pub async fn settings(&self) -> aws_config::SdkConfig {
        settings(self.url()).await
    }
}

impl Deref for Localstack {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.0
    }
}
