use crate::container::Container;
use crate::kind::Kind;
use crate::{admin, free_port, names, shared};

/// A real database server: what all kinds have in common. [`Postgres`](crate::Postgres) and the others are one.
#[derive(Debug)]
pub struct Server {
    url: String,
    port: u16,
    /// `None` for a server that an environment variable names.
    container: Option<Container>,
}

impl Server {
    /// The server of the kind's environment variable, else one container that all test processes share.
    pub(crate) async fn shared(kind: &'static Kind) -> Self {
        let (url, ours) = kind.shared.get_or_init(|| find_shared(kind)).await.clone();
        let container = if ours { Container::find(kind.name).await.map(|(found, _)| found) } else { None };
        Self { port: admin::port(&url), url, container }
    }

    /// A container of the caller's own.
    pub(crate) async fn own(kind: &'static Kind) -> Self {
        let (container, port) = shared::own(kind.url_variable, || {
            let port = free_port();
            (kind.own_image(), vec![(port, kind.port)], port)
        })
        .await;
        Self::started(kind.url_at(port), container).await
    }

    /// A container of the caller's own that was just started; returns when it answers.
    pub(crate) async fn started(url: String, container: Container) -> Self {
        admin::ready(&url, Some(&container)).await;
        Self { port: admin::port(&url), url, container: Some(container) }
    }

    /// A new empty database with a name of its own; returns its URL. It need not be dropped.
    ///
    /// # Panics
    /// If the server refuses, as a standby does.
    pub async fn database(&self) -> String {
        let name = names::unique(admin::PREFIX, '_');
        let created = admin::execute(&self.url, &format!("CREATE DATABASE {name}")).await;
        created.unwrap_or_else(|e| panic!("CREATE DATABASE at {}: {e}", self.url));
        admin::with_database(&self.url, &name)
    }

    /// The URL of the admin database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port on 127.0.0.1; it stays the same over [`kill`](Self::kill) and [`start`](Self::start).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL to all processes of the server; returns when they are gone. Connections are refused from then on.
    pub async fn kill(&self) {
        self.container("kill").kill().await;
    }

    /// Starts the killed server again; returns when it answers.
    pub async fn start(&self) {
        let container = self.container("start");
        container.start_again().await;
        admin::ready(&self.url, Some(container)).await;
    }

    /// Freezes all processes: connections are still accepted (by the system), but nothing answers.
    pub async fn pause(&self) {
        self.container("pause").pause().await;
    }

    /// Undoes [`pause`](Self::pause).
    pub async fn unpause(&self) {
        self.container("unpause").unpause().await;
    }

    /// Runs a command in the container, such as `psql -U postgres -c ..`; returns its stdout.
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

async fn find_shared(kind: &'static Kind) -> (String, bool) {
    let found = match std::env::var(kind.url_variable) {
        Ok(url) => {
            admin::ready(&url, None).await;
            (url, false)
        }
        Err(_) => {
            let start = || (kind.shared_image(), free_port(), kind.port);
            let (container, port, lock) = shared::container(kind.name, kind.url_variable, start).await;
            let url = kind.url_at(port);
            admin::ready(&url, Some(&container)).await;
            drop(lock);
            (url, true)
        }
    };
    admin::drop_stale(&found.0).await;
    found
}
