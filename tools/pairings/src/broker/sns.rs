use std::collections::HashMap;

use anyhow::Context;
use outbox_core::{Transport, async_trait};
use outbox_sns::{SnsConfig, SnsTransport};
use stores::Delivery;
use testkit::{Localstack, Proxy, SnsMessage, SnsTopic};
use tokio::sync::Mutex;

use super::Broker;

/// FIFO topics of SNS with a FIFO queue of SQS behind each, in LocalStack.
///
/// LocalStack forgets everything when it is stopped, as SNS does not: so it is frozen, and the relays are cut off from
/// it. What was under way then is worked off when it thaws.
#[derive(Debug)]
pub struct SnsBroker {
    server: Localstack,
    proxy: Proxy,
    topics: Mutex<HashMap<String, SnsTopic>>,
}

impl SnsBroker {
    /// A container of its own.
    ///
    /// # Errors
    /// When there is no port for the proxy.
    pub async fn start() -> anyhow::Result<Self> {
        let server = Localstack::own().await;
        let proxy = Proxy::start(format!("127.0.0.1:{}", server.port())).await?;
        Ok(Self { server, proxy, topics: Mutex::default() })
    }
}

#[async_trait]
impl Broker for SnsBroker {
    fn name(&self) -> &'static str {
        "SNS FIFO"
    }

    fn fault(&self) -> &'static str {
        "frozen, cut off"
    }

    async fn place(&self, name: &str) -> anyhow::Result<String> {
        let topic = self.server.topic(&format!("{name}.fifo")).await;
        let name = topic.name().to_owned();
        self.topics.lock().await.insert(name.clone(), topic);
        Ok(name)
    }

    async fn transport(&self) -> anyhow::Result<Box<dyn Transport>> {
        let config = SnsConfig::new(Localstack::ARN_PREFIX).endpoint(self.server.url_by(self.proxy.addr().port()));
        let client = aws_sdk_sns::Client::new(&self.server.settings().await);
        Ok(Box::new(SnsTransport::with_client(config, client)?))
    }

    async fn fail(&self) {
        self.proxy.refuse();
        self.server.pause().await;
    }

    async fn recover(&self) {
        self.server.unpause().await;
        self.proxy.heal();
    }

    async fn read(&self, topic: &str) -> anyhow::Result<Vec<Delivery>> {
        let topic = self.topics.lock().await.remove(topic).context("the topic was made here")?;
        let delivery = |m: SnsMessage| {
            let attribute = |name: &str| m.attributes.get(name).cloned();
            // The order rests on the group.
            let key = attribute("message-key").filter(|key| m.group.as_ref() == Some(key));
            Delivery { id: attribute("message-id").unwrap_or_else(|| "none".into()), key, payload: m.body }
        };
        Ok(topic.messages().await.into_iter().map(delivery).collect())
    }
}
