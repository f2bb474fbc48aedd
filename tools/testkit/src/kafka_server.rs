use testcontainers::{ContainerRequest, GenericImage, ImageExt};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::container::Container;
use crate::{KafkaRecord, free_port, kafka_client, names, shared};

pub(crate) const URL_VARIABLE: &str = "OUTBOX_TEST_KAFKA_URL";
const NAME: &str = "outbox-test-kafka";
/// Of each listener; that of the clients first.
const PROTOCOLS: &str = "PLAINTEXT:PLAINTEXT,BYPASS:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT";

/// Of a broker that wants to know who comes, with what it checks them by.
const MECHANISMS: [(&str, &str); 3] = [
    ("PLAIN", "plain.PlainLoginModule required user_shop=\"s3cr3t\""),
    ("SCRAM-SHA-512", "scram.ScramLoginModule required"),
    ("OAUTHBEARER", "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"shop\""),
];

/// A real Kafka broker: [`shared`](Self::shared) for most tests, [`own`](Self::own) for those that harm it.
///
/// Topics are never created by use: a message to an unknown topic fails.
#[derive(Debug)]
pub struct Kafka {
    bootstrap: String,
    /// Where the testkit itself connects: past the proxy.
    bypass: String,
    port: u16,
    container: Option<Container>,
}

impl Kafka {
    /// The broker of `OUTBOX_TEST_KAFKA_URL` (`host:port`), else one container that all test processes share (left
    /// running).
    ///
    /// # Panics
    /// If there is neither the variable nor a Docker engine, or the broker does not start.
    pub async fn shared() -> Self {
        static FOUND: OnceCell<String> = OnceCell::const_new();
        let bootstrap = FOUND.get_or_init(find_shared).await.clone();
        let port = bootstrap.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("{URL_VARIABLE} is not host:port: {bootstrap}"));
        Self { bypass: bootstrap.clone(), bootstrap, port, container: None }
    }

    /// A container of this test's own, removed on drop. Its data survive [`kill`](Self::kill).
    ///
    /// # Panics
    /// If there is no Docker engine, or the broker does not start.
    pub async fn own() -> Self {
        Self::launch(None).await
    }

    /// The same, but it tells its clients to come by `proxy_port`: there the test puts a [`Proxy`](crate::Proxy) to
    /// [`direct_port`](Self::direct_port). The testkit's own calls (topics, [`consume`](Self::consume)) go past it.
    pub async fn own_behind(proxy_port: u16) -> Self {
        Self::launch(Some(proxy_port)).await
    }

    /// Like [`own`](Self::own), but clients have to say who they are: SASL (`SASL_PLAINTEXT`) with the mechanisms
    /// `PLAIN` and `SCRAM-SHA-512`, the user `shop` and the password `s3cr3t`; or `OAUTHBEARER`, with tokens that
    /// nobody signed.
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_secured() -> Self {
        let (container, (port, bypass)) = shared::own(URL_VARIABLE, || {
            let (port, bypass) = (free_port(), free_port());
            let names = MECHANISMS.map(|(name, _)| name).join(",");
            let image = image(port, port, bypass)
                .with_env_var("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", PROTOCOLS.replacen(":PLAIN", ":SASL_PLAIN", 1))
                .with_env_var("KAFKA_LISTENER_NAME_PLAINTEXT_SASL_ENABLED_MECHANISMS", names)
                // So that a connection ends with the token that it was opened with.
                .with_env_var("KAFKA_LISTENER_NAME_PLAINTEXT_OAUTHBEARER_CONNECTIONS_MAX_REAUTH_MS", "3600000");
            let image = MECHANISMS.iter().fold(image, |image, (name, module)| {
                let name = name.replace('-', "___");
                let jaas = format!("org.apache.kafka.common.security.{module};");
                image.with_env_var(format!("KAFKA_LISTENER_NAME_PLAINTEXT_{name}_SASL_JAAS_CONFIG"), jaas)
            });
            (image, vec![(port, port), (bypass, bypass)], (port, bypass))
        })
        .await;
        let kafka = Self::started(container, None, port, bypass).await;
        kafka.add_user("shop", "s3cr3t").await;
        kafka
    }

    /// For `SCRAM-SHA-512`.
    async fn add_user(&self, name: &str, password: &str) {
        let (at, secret) =
            (format!("localhost:{}", self.bypass_port()), format!("SCRAM-SHA-512=[password={password}]"));
        let tool = ["java", "-cp", "/opt/kafka/libs/*", "kafka.admin.ConfigCommand", "--bootstrap-server", &at];
        let what = ["--alter", "--entity-type", "users", "--entity-name", name, "--add-config", &secret];
        self.container("add_user").exec(&[&tool[..], &what[..]].concat()).await;
    }

    fn bypass_port(&self) -> &str {
        self.bypass.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// Like [`own`](Self::own), but in the host's network, without Docker's proxy in between: for benchmarks. One at a
    /// time on a machine: it takes the ports 9093 and 9094 too.
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_on_host() -> Self {
        let (container, (port, bypass)) = shared::own(URL_VARIABLE, || {
            let (port, bypass) = (free_port(), free_port());
            (image(port, port, bypass), vec![], (port, bypass))
        })
        .await;
        Self::started(container, None, port, bypass).await
    }

    /// `127.0.0.1:port` for clients; by the proxy if there is one.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A bootstrap address whose connections never go by the proxy.
    #[must_use]
    pub fn bypass(&self) -> &str {
        &self.bypass
    }

    /// The broker's own port on 127.0.0.1: what a proxy leads to. Clients that connect to it are told the proxy's.
    #[must_use]
    pub fn direct_port(&self) -> u16 {
        self.port
    }

    /// Creates a topic with a name of its own; returns when it can be written.
    pub async fn topic(&self, prefix: &str, partitions: i32) -> String {
        self.topic_with(prefix, partitions, &[]).await
    }

    /// The same with settings, for instance `max.message.bytes`.
    pub async fn topic_with(&self, prefix: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = names::unique(prefix, '-');
        self.create(&name, partitions, settings).await;
        name
    }

    /// A name that no topic has, for one that the test itself creates.
    #[must_use]
    pub fn unused_topic(prefix: &str) -> String {
        names::unique(prefix, '-')
    }

    /// Creates a topic of exactly this name, which only a broker of the test's own should be given.
    pub async fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let name = name.to_owned();
        let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.client(move |bootstrap| {
            let settings: Vec<_> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
            kafka_client::create(bootstrap, &name, partitions, 1, &settings);
        })
        .await;
    }

    /// Everything in the topic as of the call, by partition and offset, aborted transactions included.
    pub async fn consume(&self, topic: &str) -> Vec<KafkaRecord> {
        let topic = topic.to_owned();
        self.client(move |bootstrap| kafka_client::read_all(bootstrap, &topic)).await
    }

    /// SIGKILL; returns when the broker is gone. Connections are refused from then on.
    pub async fn kill(&self) {
        self.container("kill").kill().await;
    }

    /// Starts the broker again; returns when it answers and every partition has its leader.
    pub async fn start(&self) {
        self.container("start").start_again().await;
        self.client(kafka_client::wait_ready).await;
    }

    /// An orderly shutdown.
    pub async fn stop_gracefully(&self) {
        self.container("stop").stop().await;
    }

    /// [`stop_gracefully`](Self::stop_gracefully) and [`start`](Self::start).
    pub async fn restart(&self) {
        self.stop_gracefully().await;
        self.start().await;
    }

    /// Freezes the broker: connections are still accepted (by Docker), but nothing answers.
    pub async fn pause(&self) {
        self.container("pause").pause().await;
    }

    /// Undoes [`pause`](Self::pause).
    pub async fn unpause(&self) {
        self.container("unpause").unpause().await;
    }

    async fn launch(proxy_port: Option<u16>) -> Self {
        let (container, (port, bypass)) = shared::own(URL_VARIABLE, || {
            let (port, bypass) = (free_port(), free_port());
            let image = image(port, proxy_port.unwrap_or(port), bypass);
            (image, vec![(port, port), (bypass, bypass)], (port, bypass))
        })
        .await;
        Self::started(container, proxy_port, port, bypass).await
    }

    pub(crate) async fn started(container: Container, proxy_port: Option<u16>, port: u16, bypass: u16) -> Self {
        let bootstrap = format!("127.0.0.1:{}", proxy_port.unwrap_or(port));
        let kafka = Self { bootstrap, bypass: format!("127.0.0.1:{bypass}"), port, container: Some(container) };
        kafka.client(kafka_client::wait_ready).await;
        kafka
    }

    /// librdkafka's calls block.
    pub(crate) async fn client<T: Send + 'static>(&self, call: impl FnOnce(&str) -> T + Send + 'static) -> T {
        blocking(self.bypass.clone(), call).await
    }

    #[track_caller]
    fn container(&self, what: &str) -> &Container {
        self.container.as_ref().unwrap_or_else(|| panic!("{what}: a test with faults takes a broker of its own()"))
    }
}

async fn blocking<T: Send + 'static>(bootstrap: String, call: impl FnOnce(&str) -> T + Send + 'static) -> T {
    match spawn_blocking(move || call(&bootstrap)).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

async fn find_shared() -> String {
    let at = |port: u16| format!("127.0.0.1:{port}");
    let bootstrap = match std::env::var(URL_VARIABLE) {
        Ok(bootstrap) => {
            blocking(bootstrap.clone(), kafka_client::wait_ready).await;
            bootstrap
        }
        Err(_) => {
            let start = || {
                let port = free_port();
                (image(port, port, free_port()), port, port)
            };
            let (_, port, lock) = shared::container(NAME, URL_VARIABLE, start).await;
            blocking(at(port), kafka_client::wait_ready).await;
            drop(lock);
            at(port)
        }
    };
    blocking(bootstrap.clone(), kafka_client::delete_stale).await;
    bootstrap
}

/// One broker that is its own controller. `port` is published under its own number, and advertised as `advertised`.
fn image(port: u16, advertised: u16, bypass: u16) -> ContainerRequest<GenericImage> {
    Node { id: 1, port, advertised, bypass, between: 9093, controller: 9094 }.image()
}

/// A broker of a cluster whose first one is the controller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) id: u16,
    /// For clients, and what they are told instead.
    pub(crate) port: u16,
    pub(crate) advertised: u16,
    /// For the testkit itself.
    pub(crate) bypass: u16,
    /// For the other brokers.
    pub(crate) between: u16,
    /// Where the first one is the controller.
    pub(crate) controller: u16,
}

impl Node {
    pub(crate) fn image(self) -> ContainerRequest<GenericImage> {
        let Self { id, port, advertised, bypass, between, controller } = self;
        let mut listeners = format!("PLAINTEXT://:{port},BYPASS://:{bypass},BROKER://:{between}");
        if id == 1 {
            listeners += &format!(",CONTROLLER://localhost:{controller}");
        }
        let own = [
            ("NODE_ID", id.to_string()),
            ("PROCESS_ROLES", if id == 1 { "broker,controller" } else { "broker" }.to_owned()),
            ("CONTROLLER_QUORUM_VOTERS", format!("1@localhost:{controller}")),
            ("LISTENERS", listeners),
            (
                "ADVERTISED_LISTENERS",
                format!("PLAINTEXT://127.0.0.1:{advertised},BYPASS://127.0.0.1:{bypass},BROKER://localhost:{between}"),
            ),
        ];
        let settings = [
            ("LISTENER_SECURITY_PROTOCOL_MAP", PROTOCOLS),
            ("INTER_BROKER_LISTENER_NAME", "BROKER"),
            ("CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
            ("OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
            ("TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
            ("TRANSACTION_STATE_LOG_MIN_ISR", "1"),
            ("GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
            ("AUTO_CREATE_TOPICS_ENABLE", "false"),
            // A killed broker comes back only when the controller has given up its former session.
            ("BROKER_SESSION_TIMEOUT_MS", "1500"),
            ("BROKER_HEARTBEAT_INTERVAL_MS", "300"),
        ];
        let usual = shared::image("OUTBOX_TEST_KAFKA_IMAGE", ("apache/kafka", "4.1.1"));
        let settings = settings.map(|(name, value)| (name, value.to_owned())).into_iter().chain(own);
        let image = usual.with_env_var("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw");
        settings.fold(image, |image, (name, value)| image.with_env_var(format!("KAFKA_{name}"), value))
    }
}
