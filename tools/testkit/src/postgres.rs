use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use testcontainers::{ContainerRequest, GenericImage, ImageExt};
use tokio::sync::OnceCell;

use crate::container::Container;
use crate::{free_port, names, shared};

const URL_VARIABLE: &str = "OUTBOX_TEST_POSTGRES_URL";
const PREFIX: &str = "outbox_test";
/// Generous: the machine may run many builds and servers at once.
const PATIENCE: Duration = Duration::from_secs(120);
/// A database of a test that ran so long ago is dropped, if nobody is connected to it.
const STALE: Duration = Duration::from_secs(3600);

/// A real PostgreSQL server: [`shared`](Self::shared) for most tests, [`own`](Self::own) for those that harm it.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    port: u16,
    container: Option<Container>,
}

impl Postgres {
    /// The server of `OUTBOX_TEST_POSTGRES_URL` (an admin database's URL), else one container that all test processes
    /// share (without fsync, left running). It allows 400 connections and 64 prepared transactions.
    ///
    /// # Panics
    /// If there is neither the variable nor a Docker engine, or the server does not start.
    pub async fn shared() -> Self {
        static FOUND: OnceCell<(String, bool)> = OnceCell::const_new();
        let (url, ours) = FOUND.get_or_init(find_shared).await.clone();
        let port = options(&url).get_port();
        let container = if ours { Container::find(NAME).await.map(|(found, _)| found) } else { None };
        Self { url, port, container }
    }

    /// A container of this test's own, with real fsync, removed on drop.
    ///
    /// # Panics
    /// If there is no Docker engine, or the server does not start.
    pub async fn own() -> Self {
        let (container, port) = shared::own(URL_VARIABLE, || {
            let port = free_port();
            (image(&["-c", "max_connections=200"]), vec![(port, 5432)], port)
        })
        .await;
        let url = url_at(port);
        ready(&url).await;
        Self { url, port, container: Some(container) }
    }

    /// A new empty database with a name of its own; returns its URL. It need not be dropped.
    pub async fn database(&self) -> String {
        let name = names::unique(PREFIX, '_');
        let mut admin = connect(&self.url).await.unwrap_or_else(|e| panic!("{}: {e}", self.url));
        admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("CREATE DATABASE");
        let (base, query) = self.url.split_once('?').map_or((&*self.url, None), |(base, query)| (base, Some(query)));
        let server = base.find("://").map(|at| at + 3).and_then(|at| Some(at + base[at..].find('/')?));
        let mut url = format!("{}/{name}", &base[..server.unwrap_or(base.len())]);
        if let Some(query) = query {
            url = format!("{url}?{query}");
        }
        url
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
        self.container("start").start_again().await;
        ready(&self.url).await;
    }

    /// Freezes all processes: connections are still accepted (by Docker), but nothing answers.
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
        self.container.as_ref().unwrap_or_else(|| panic!("{what} needs a container, but {URL_VARIABLE} names a server"))
    }
}

const NAME: &str = "outbox-test-postgres";

/// The shared server's admin URL, and whether it is our container.
async fn find_shared() -> (String, bool) {
    let found = match std::env::var(URL_VARIABLE) {
        Ok(url) => {
            ready(&url).await;
            (url, false)
        }
        Err(_) => {
            let quick = &["-c", "max_connections=400", "-c", "fsync=off"];
            let start = || (image(quick), free_port(), 5432);
            let (_, port) = shared::container(NAME, URL_VARIABLE, start, async |port| ready(&url_at(port)).await).await;
            (url_at(port), true)
        }
    };
    drop_stale(&found.0).await;
    found
}

fn image(settings: &[&str]) -> ContainerRequest<GenericImage> {
    let settings = settings.iter().copied().chain(["-c", "max_prepared_transactions=64"]);
    shared::image("OUTBOX_TEST_POSTGRES_IMAGE", ("postgres", "17"))
        .with_env_var("POSTGRES_PASSWORD", "test")
        .with_shm_size(256 << 20)
        .with_cmd(settings)
}

fn url_at(port: u16) -> String {
    format!("postgres://postgres:test@127.0.0.1:{port}/postgres")
}

fn options(url: &str) -> PgConnectOptions {
    PgConnectOptions::from_str(url).unwrap_or_else(|e| panic!("{URL_VARIABLE}: {e}")).disable_statement_logging()
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect_with(&options(url)).await
}

/// Waits for an answer over TCP. The image's first start also runs a server for its preparations, but that one listens
/// on a Unix socket only.
async fn ready(url: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = async { connect(url).await?.execute("SELECT 1").await };
        let why = match tokio::time::timeout(Duration::from_secs(5), answer).await {
            Ok(Ok(_)) => return,
            Ok(Err(e)) => e.to_string(),
            Err(_) => "no answer".into(),
        };
        assert!(Instant::now() < end, "{url} does not serve: {why}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Drops the databases of long past tests; one that is in use stays.
async fn drop_stale(url: &str) {
    let Ok(mut admin) = connect(url).await else { return };
    let listed =
        sqlx::query_scalar::<_, String>("SELECT datname::text FROM pg_database WHERE datname LIKE 'outbox_test_%'");
    for name in listed.fetch_all(&mut admin).await.unwrap_or_default() {
        if names::age(&name, '_').is_some_and(|age| age > STALE) {
            drop(admin.execute(sqlx::AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await);
        }
    }
}
