use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use testcontainers::{ContainerRequest, GenericImage};
use tokio::sync::OnceCell;

use crate::container::Container;
use crate::{admin, free_port, shared};

/// Generous: the machine may run many builds and servers at once.
const PATIENCE: Duration = Duration::from_secs(120);

/// One kind of broker: how to find or start it.
#[derive(Debug)]
pub(crate) struct BrokerKind {
    /// Of the shared container, and of its lock.
    pub(crate) name: &'static str,
    pub(crate) url_variable: &'static str,
    pub(crate) image_variable: &'static str,
    pub(crate) usual_image: (&'static str, &'static str),
    /// Inside the container.
    pub(crate) port: u16,
    /// Where clients find it on 127.0.0.1.
    pub(crate) url_at: fn(u16) -> String,
    /// The image with its settings; with a port to listen on, in the host's network, instead of the usual one.
    pub(crate) image: fn(GenericImage, Option<u16>) -> ContainerRequest<GenericImage>,
    /// Whether it answers at this URL: what clients need, not just a port.
    pub(crate) ready: fn(String) -> BoxFuture<'static, Result<(), String>>,
    /// The shared broker's URL, and whether it is our container.
    pub(crate) shared: OnceCell<(String, bool)>,
}

/// A real message broker: what [`RabbitMq`](crate::RabbitMq), [`Nats`](crate::Nats) and
/// [`Localstack`](crate::Localstack) have in common.
#[derive(Debug)]
pub struct Broker {
    kind: &'static BrokerKind,
    url: String,
    port: u16,
    /// `None` for a broker that an environment variable names.
    container: Option<Container>,
}

impl Broker {
    /// The broker of the kind's environment variable, else one container that all test processes share.
    pub(crate) async fn shared(kind: &'static BrokerKind) -> Self {
        let (url, ours) = kind.shared.get_or_init(|| find_shared(kind)).await.clone();
        let container = if ours { Container::find(kind.name).await.map(|(found, _)| found) } else { None };
        let port = admin::parsed(&url).port().unwrap_or(kind.port);
        Self { kind, url, port, container }
    }

    /// A container of the caller's own, behind a published port.
    pub(crate) async fn own(kind: &'static BrokerKind) -> Self {
        let (container, port) = shared::own(kind.url_variable, || {
            let port = free_port();
            ((kind.image)(kind.new_image(), None), vec![(port, kind.port)], port)
        })
        .await;
        Self::started(kind, container, port).await
    }

    /// The same in the host's network, without Docker's proxy in between: for benchmarks.
    pub(crate) async fn own_on_host(kind: &'static BrokerKind) -> Self {
        let (container, port) = shared::own(kind.url_variable, || {
            let port = free_port();
            ((kind.image)(kind.new_image(), Some(port)), vec![], port)
        })
        .await;
        Self::started(kind, container, port).await
    }

    async fn started(kind: &'static BrokerKind, container: Container, port: u16) -> Self {
        let url = (kind.url_at)(port);
        kind.wait_ready(&url, Some(&container)).await;
        Self { kind, url, port, container: Some(container) }
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port on 127.0.0.1; it stays the same over [`kill`](Self::kill) and [`start`](Self::start).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL with another port: that of a [`Proxy`](crate::Proxy) in front of it.
    #[must_use]
    pub fn url_by(&self, port: u16) -> String {
        (self.kind.url_at)(port)
    }

    /// SIGKILL; returns when the broker is gone. Connections are refused from then on.
    pub async fn kill(&self) {
        self.container("kill").kill().await;
    }

    /// An orderly shutdown.
    pub async fn stop_gracefully(&self) {
        self.container("stop").stop().await;
    }

    /// Starts the stopped or killed broker again, with its data; returns when it answers.
    pub async fn start(&self) {
        let container = self.container("start");
        container.start_again().await;
        self.kind.wait_ready(&self.url, Some(container)).await;
    }

    /// [`kill`](Self::kill) and [`start`](Self::start).
    pub async fn restart(&self) {
        self.kill().await;
        self.start().await;
    }

    /// Freezes all processes: connections are still accepted (by the system), but nothing answers.
    pub async fn pause(&self) {
        self.container("pause").pause().await;
    }

    /// Undoes [`pause`](Self::pause).
    pub async fn unpause(&self) {
        self.container("unpause").unpause().await;
    }

    /// Runs a command in the container, such as `rabbitmqctl status`; returns its stdout.
    ///
    /// # Panics
    /// With its stderr if it fails.
    pub async fn exec(&self, argv: &[&str]) -> String {
        self.container("exec").exec(argv).await
    }

    #[track_caller]
    fn container(&self, what: &str) -> &Container {
        self.container.as_ref().unwrap_or_else(|| {
            panic!("{what} needs a container, but an environment variable names the broker {}", self.url)
        })
    }
}

impl BrokerKind {
    fn new_image(&self) -> GenericImage {
        shared::image(self.image_variable, self.usual_image)
    }

    async fn wait_ready(&self, url: &str, container: Option<&Container>) {
        let end = Instant::now() + PATIENCE;
        for attempt in 1.. {
            let why = match tokio::time::timeout(Duration::from_secs(5), (self.ready)(url.to_owned())).await {
                Ok(Ok(())) => return,
                Ok(Err(e)) => e,
                Err(_) => "no answer".into(),
            };
            if let Some(container) = container
                && attempt % 25 == 0
                && let Some(log) = container.log_if_ended().await
            {
                panic!("{url}: the broker has ended; the end of its log:\n{log}");
            }
            assert!(Instant::now() < end, "{url} does not serve: {why}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn find_shared(kind: &'static BrokerKind) -> (String, bool) {
    if let Ok(url) = std::env::var(kind.url_variable) {
        kind.wait_ready(&url, None).await;
        return (url, false);
    }
    let start = || ((kind.image)(kind.new_image(), None), free_port(), kind.port);
    let (container, port, lock) = shared::container(kind.name, kind.url_variable, start).await;
    let url = (kind.url_at)(port);
    kind.wait_ready(&url, Some(&container)).await;
    drop(lock);
    (url, true)
}
