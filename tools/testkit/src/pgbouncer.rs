use std::ops::Deref;

use percent_encoding::percent_decode_str;
use testcontainers::{ContainerRequest, GenericImage, ImageExt};
use url::Url;

use crate::kind::POSTGRES_17;
use crate::{Server, admin, free_port, shared};

/// A PgBouncer of this test's own in transaction mode, in front of a PostgreSQL server; removed on drop.
///
/// It hands over up to 20 server connections per database to up to 500 clients. While the database is down it keeps
/// them waiting for 5 s (usually two minutes) before it tells them, and tries again each second (usually each 15). What
/// it can do is said at [`Server`]; its URL is the admin database's by way of the pooler.
#[derive(Debug)]
pub struct PgBouncer(Server);

impl PgBouncer {
    /// Starts one (`OUTBOX_TEST_PGBOUNCER_IMAGE`, usually `edoburu/pgbouncer`) before this server.
    ///
    /// # Panics
    /// If there is no Docker engine, or it does not start.
    pub async fn before(server: &Server) -> Self {
        // In the host's network it finds the server where the tests do, and again when that was killed and started.
        let database = admin::parsed(server.url());
        let (container, port) = shared::own("OUTBOX_TEST_PGBOUNCER_IMAGE", || {
            let port = free_port();
            (image(&database, port), vec![], port)
        })
        .await;
        Self(Server::started(&POSTGRES_17, by_way_of(port, server.url()), container).await)
    }

    /// The same database, user and password, by way of the pooler.
    #[must_use]
    pub fn through(&self, database_url: &str) -> String {
        by_way_of(self.port(), database_url)
    }
}

impl Deref for PgBouncer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

fn image(database: &Url, port: u16) -> ContainerRequest<GenericImage> {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let settings = [
        ("DB_HOST", database.host_str().unwrap_or("127.0.0.1").to_owned()),
        ("DB_PORT", database.port().unwrap_or(5432).to_string()),
        ("DB_USER", plain(database.username())),
        ("DB_PASSWORD", plain(database.password().unwrap_or_default())),
        ("LISTEN_ADDR", "127.0.0.1".into()),
        ("LISTEN_PORT", port.to_string()),
        ("AUTH_TYPE", "scram-sha-256".into()),
        ("POOL_MODE", "transaction".into()),
        ("DEFAULT_POOL_SIZE", "20".into()),
        ("MAX_CLIENT_CONN", "500".into()),
        ("SERVER_LOGIN_RETRY", "1".into()),
        ("QUERY_WAIT_TIMEOUT", "5".into()),
    ];
    let image =
        ContainerRequest::from(shared::image("OUTBOX_TEST_PGBOUNCER_IMAGE", ("edoburu/pgbouncer", "v1.24.1-p1")));
    settings.into_iter().fold(image, |image, (name, value)| image.with_env_var(name, value))
}

fn by_way_of(port: u16, url: &str) -> String {
    let mut url = admin::parsed(url);
    let moved = url.set_host(Some("127.0.0.1")).is_ok() && url.set_port(Some(port)).is_ok();
    assert!(moved, "{url} names no host");
    url.into()
}
