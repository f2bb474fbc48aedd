use std::ops::Deref;

use aws_config::Region;
use futures_util::FutureExt;
use testcontainers::{ContainerRequest, GenericImage, ImageExt};
use tokio::sync::OnceCell;

use crate::Handle;
use crate::broker::BrokerKind;
use crate::{SnsTopic, names};

static LOCALSTACK: BrokerKind = BrokerKind {
    name: "outbox-test-localstack",
    url_variable: "OUTBOX_TEST_LOCALSTACK_URL",
    image_variable: "OUTBOX_TEST_LOCALSTACK_IMAGE",
    usual_image: ("localstack/localstack", "4.14.0"),
    port: 4566,
    url_at: |port| format!("http://127.0.0.1:{port}"),
    image,
    answers: |url| {
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
pub struct Localstack(Handle);

impl Localstack {
    /// What stands before a topic's name in its ARN.
    pub const ARN_PREFIX: &str = "arn:aws:sns:us-east-1:000000000000:";

    /// That of `OUTBOX_TEST_LOCALSTACK_URL` (`http://host:port`), else one container that all test processes share
    /// (left running).
    ///
    /// # Panics
    /// If there is neither the variable nor a Docker engine, or it does not start.
    pub async fn shared() -> Self {
        Self(Handle::shared(&LOCALSTACK).await)
    }

    /// A container of this test's own, removed on drop.
    ///
    /// # Panics
    /// If there is no Docker engine, or it does not start.
    pub async fn own() -> Self {
        Self(Handle::own(&LOCALSTACK).await)
    }

    /// The same in the host's network, for benchmarks.
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_on_host() -> Self {
        Self(LOCALSTACK.own_on_host().await)
    }

    /// The settings of clients: its endpoint, a region and credentials.
    pub async fn settings(&self) -> aws_config::SdkConfig {
        settings(self.url()).await
    }

    /// A new topic with a queue that gets all its messages raw; a FIFO topic and a FIFO queue where the name ends in
    /// `.fifo`. The name gets an ending of its own (before `.fifo`), of 22 bytes; a name that is longer than 40 bytes
    /// keeps its length. The queue has the name of the topic, or its last 60 bytes.
    pub async fn topic(&self, name: &str) -> SnsTopic {
        let (stem, fifo) = name.strip_suffix(".fifo").map_or((name, ""), |stem| (stem, ".fifo"));
        let stem = &stem[..stem.len().saturating_sub(22).max(stem.len().min(18))];
        let topic = SnsTopic::new(format!("{}{fifo}", names::unique(stem, '-')), &self.settings().await);
        topic.create().await;
        topic
    }
}

impl Deref for Localstack {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.0
    }
}
