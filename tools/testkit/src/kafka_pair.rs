use std::ops::Deref;

use crate::container::Container;
use crate::kafka_server::{Node, URL_VARIABLE};
use crate::{Kafka, free_port, kafka_client, names, shared};

/// Two Kafka brokers of this test's own, of which the second one may be absent; removed on drop. The [`Kafka`] it is
/// first of all is the one that stays.
#[derive(Debug)]
pub struct KafkaPair {
    first: Kafka,
    second: Container,
}

impl KafkaPair {
    /// Starts both, in the host's network.
    ///
    /// # Panics
    /// If there is no Docker engine, or a broker does not start.
    pub async fn own() -> Self {
        let (container, node) = shared::own(URL_VARIABLE, || {
            let (port, bypass) = (free_port(), free_port());
            let node = Node { id: 1, port, advertised: port, bypass, between: free_port(), controller: free_port() };
            (node.image(), vec![], node)
        })
        .await;
        let first = Kafka::started(container, None, node.port, node.bypass).await;
        let (second, ()) = shared::own(URL_VARIABLE, || {
            let (port, bypass) = (free_port(), free_port());
            let second = Node { id: 2, port, advertised: port, bypass, between: free_port(), ..node };
            (second.image(), vec![], ())
        })
        .await;
        let pair = Self { first, second };
        pair.brokers(2).await;
        pair
    }

    /// Creates a topic with a replica on each broker that takes nothing while one of them is absent.
    pub async fn careful_topic(&self, prefix: &str, partitions: i32) -> String {
        let name = names::unique(prefix, '-');
        let created = name.clone();
        let settings = [("min.insync.replicas", "2")];
        self.client(move |bootstrap| kafka_client::create(bootstrap, &created, partitions, 2, &settings)).await;
        name
    }

    /// SIGKILL to the second broker; returns when the cluster has given it up.
    pub async fn kill_second(&self) {
        self.second.kill().await;
        self.brokers(1).await;
    }

    /// Starts the second broker again; returns when the cluster has it.
    pub async fn start_second(&self) {
        self.second.start_again().await;
        self.brokers(2).await;
    }

    async fn brokers(&self, count: usize) {
        self.client(move |bootstrap| kafka_client::wait_brokers(bootstrap, count)).await;
    }
}

impl Deref for KafkaPair {
    type Target = Kafka;

    fn deref(&self) -> &Kafka {
        &self.first
    }
}
