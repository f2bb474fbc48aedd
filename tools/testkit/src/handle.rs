use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use testcontainers::{ContainerRequest, GenericImage};
use tokio::sync::OnceCell;

use crate::container::Container;
use crate::{admin, free_port, shared};

/// Generous: the machine may run many builds and servers at once.
const PATIENCE: Duration = Duration::from_secs(120);

/// How to find or start one kind of server.
pub(crate) trait Recipe: std::fmt::Debug + Sync + 'static {
    /// Of the shared container, and of its lock.
    fn name(&self) -> &'static str;

    /// Names a server to be used instead of the shared container.
    fn url_variable(&self) -> &'static str;

    /// Inside the container.
    fn port(&self) -> u16;

    /// Where a container of ours is found on 127.0.0.1.
    fn url_at(&self, port: u16) -> String;

    /// For the shared container.
    fn shared_image(&self) -> ContainerRequest<GenericImage>;

    /// For a container of a test's own.
    fn own_image(&self) -> ContainerRequest<GenericImage>;

    /// The same with its data on a disk in memory of so many bytes.
    fn small_image(&self, bytes: u64) -> ContainerRequest<GenericImage> {
        panic!("{} has no image for a disk of {bytes} bytes", self.name())
    }

    /// Whether it answers at this URL: what clients need, not just a port.
    fn answers(&self, url: String) -> BoxFuture<'static, Result<(), String>>;

    /// Keeps the shared server's URL, and whether it is our container.
    fn found(&self) -> &OnceCell<(String, bool)>;
}

/// A server that runs: what all of them have in common, databases and brokers.
#[derive(Debug)]
pub struct Handle {
    recipe: &'static dyn Recipe,
    url: String,
    port: u16,
    /// `None` for a server that an environment variable names.
    container: Option<Container>,
}

impl Handle {
    /// The server of the environment variable, else one container that all test processes share.
    pub(crate) async fn shared(recipe: &'static dyn Recipe) -> Self {
        let (url, ours) = recipe.found().get_or_init(|| find(recipe)).await.clone();
        let container = if ours { Container::find(recipe.name()).await.map(|(found, _)| found) } else { None };
        let port = admin::parsed(&url).port().unwrap_or(recipe.port());
        Self { recipe, url, port, container }
    }

    /// A container of the caller's own, behind a published port.
    pub(crate) async fn own(recipe: &'static dyn Recipe) -> Self {
        Self::own_of(recipe, || recipe.own_image()).await
    }

    /// The same with its data on a disk in memory of so many bytes.
    pub(crate) async fn own_small(recipe: &'static dyn Recipe, bytes: u64) -> Self {
        Self::own_of(recipe, || recipe.small_image(bytes)).await
    }

    async fn own_of(recipe: &'static dyn Recipe, image: impl Fn() -> ContainerRequest<GenericImage>) -> Self {
        let (container, port) = shared::own(recipe.url_variable(), || {
            let port = free_port();
            (image(), vec![(port, recipe.port())], port)
        })
        .await;
        Self::started(recipe, recipe.url_at(port), port, container).await
    }

    /// A container of the caller's own that was just started; returns when it answers.
    pub(crate) async fn started(recipe: &'static dyn Recipe, url: String, port: u16, container: Container) -> Self {
        ready(recipe, &url, Some(&container)).await;
        Self { recipe, url, port, container: Some(container) }
    }

    /// Where clients find it; of a database server, its admin database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port on 127.0.0.1; it stays the same over [`kill`](Self::kill) and [`start`](Self::start).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its usual URL with another port: that of a [`Proxy`](crate::Proxy) in front of it.
    #[must_use]
    pub fn url_by(&self, port: u16) -> String {
        self.recipe.url_at(port)
    }

    /// SIGKILL to all processes of the server; returns when they are gone. Connections are refused from then on.
    pub async fn kill(&self) {
        self.container("kill").kill().await;
    }

    /// An orderly shutdown.
    pub async fn stop_gracefully(&self) {
        self.container("stop").stop().await;
    }

    /// Starts the killed or stopped server again, with its data; returns when it answers.
    pub async fn start(&self) {
        let container = self.container("start");
        container.start_again().await;
        ready(self.recipe, &self.url, Some(container)).await;
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

    /// Runs a command in the container, such as `psql -U postgres -c ..` or `rabbitmqctl status`; returns its stdout.
    ///
    /// # Panics
    /// With its stderr if it fails.
    pub async fn exec(&self, argv: &[&str]) -> String {
        self.container("exec").exec(argv).await
    }

    #[track_caller]
    fn container(&self, what: &str) -> &Container {
        self.container.as_ref().unwrap_or_else(|| {
            panic!("{what} needs a container, but an environment variable names the server {}", self.url)
        })
    }
}

/// Waits until it answers.
async fn ready(recipe: &dyn Recipe, url: &str, container: Option<&Container>) {
    let end = Instant::now() + PATIENCE;
    for attempt in 1.. {
        let why = match tokio::time::timeout(Duration::from_secs(5), recipe.answers(url.to_owned())).await {
            Ok(Ok(())) => return,
            Ok(Err(e)) => e,
            Err(_) => "no answer".into(),
        };
        if let Some(container) = container
            && attempt % 25 == 0
            && let Some(log) = container.log_if_ended().await
        {
            panic!("{url}: the server has ended; the end of its log:\n{log}");
        }
        assert!(Instant::now() < end, "{url} does not serve: {why}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn find(recipe: &'static dyn Recipe) -> (String, bool) {
    if let Ok(url) = std::env::var(recipe.url_variable()) {
        ready(recipe, &url, None).await;
        return (url, false);
    }
    let start = || (recipe.shared_image(), free_port(), recipe.port());
    let (container, port, lock) = shared::container(recipe.name(), recipe.url_variable(), start).await;
    let url = recipe.url_at(port);
    ready(recipe, &url, Some(&container)).await;
    drop(lock);
    (url, true)
}
