use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use testcontainers::core::Mount;
use testcontainers::{ContainerRequest, GenericImage, ImageExt};
use tokio::sync::OnceCell;

use crate::handle::Recipe;
use crate::{admin, shared};

/// One kind of database server: how to find or start it.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Of the shared container, and of its lock.
    name: &'static str,
    pub(crate) url_variable: &'static str,
    image_variable: &'static str,
    usual_image: (&'static str, &'static str),
    /// Inside the container.
    port: u16,
    scheme_and_login: &'static str,
    admin_database: &'static str,
    /// Where the data are, inside the container.
    pub(crate) data: &'static str,
    environment: (&'static str, &'static str),
    settings: &'static [&'static str],
    /// For the shared server: many connections, and no waiting for the disk.
    quick: &'static [&'static str],
    /// For a server of the test's own: it loses nothing it has acknowledged.
    durable: &'static [&'static str],
    /// For a server on a small disk, on top of that.
    small: &'static [&'static str],
    /// The shared server's admin URL, and whether it is our container.
    shared: OnceCell<(String, bool)>,
    /// Whether the databases of long past tests were dropped.
    pub(crate) swept: OnceCell<()>,
}

pub(crate) static POSTGRES_14: Kind =
    postgres("outbox-test-postgres-14", "OUTBOX_TEST_POSTGRES14_URL", "OUTBOX_TEST_POSTGRES14_IMAGE", "14");

pub(crate) static POSTGRES_17: Kind =
    postgres("outbox-test-postgres", "OUTBOX_TEST_POSTGRES_URL", "OUTBOX_TEST_POSTGRES_IMAGE", "17");

pub(crate) static POSTGRES_18: Kind =
    postgres("outbox-test-postgres-18", "OUTBOX_TEST_POSTGRES18_URL", "OUTBOX_TEST_POSTGRES18_IMAGE", "18");

const fn postgres(
    name: &'static str,
    url_variable: &'static str,
    image_variable: &'static str,
    tag: &'static str,
) -> Kind {
    Kind {
        name,
        url_variable,
        image_variable,
        usual_image: ("postgres", tag),
        port: 5432,
        scheme_and_login: "postgres://postgres:test",
        admin_database: "postgres",
        data: "/var/lib/postgresql/data",
        environment: ("POSTGRES_PASSWORD", "test"),
        settings: &["-c", "max_prepared_transactions=64"],
        quick: &["-c", "max_connections=400", "-c", "fsync=off"],
        durable: &["-c", "max_connections=200"],
        small: &["-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB"],
        shared: OnceCell::const_new(),
        swept: OnceCell::const_new(),
    }
}

pub(crate) static MYSQL: Kind = Kind {
    name: "outbox-test-mysql",
    url_variable: "OUTBOX_TEST_MYSQL_URL",
    image_variable: "OUTBOX_TEST_MYSQL_IMAGE",
    usual_image: ("mysql", "9.7"),
    port: 3306,
    scheme_and_login: "mysql://root:test",
    admin_database: "mysql",
    data: "/var/lib/mysql",
    environment: ("MYSQL_ROOT_PASSWORD", "test"),
    // Statements stay prepared per connection: the usual limit is reached by 160 connections with 100 each.
    settings: &["--max-prepared-stmt-count=100000", "--innodb-buffer-pool-size=256M", "--mysqlx=OFF"],
    quick: &[
        "--max-connections=400",
        "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=2",
        "--innodb-doublewrite=OFF",
    ],
    durable: &["--max-connections=200"],
    // With a full disk, the binary log waits for a minute before it looks again, and a redo log of 8M that needs a
    // further file ends the server. One of 512M has them all beforehand.
    small: &["--skip-log-bin", "--innodb-redo-log-capacity=512M"],
    shared: OnceCell::const_new(),
    swept: OnceCell::const_new(),
};

pub(crate) static MARIADB: Kind = Kind {
    name: "outbox-test-mariadb",
    url_variable: "OUTBOX_TEST_MARIADB_URL",
    image_variable: "OUTBOX_TEST_MARIADB_IMAGE",
    usual_image: ("mariadb", "11.8"),
    port: 3306,
    scheme_and_login: "mysql://root:test",
    admin_database: "mysql",
    data: "/var/lib/mysql",
    environment: ("MARIADB_ROOT_PASSWORD", "test"),
    settings: &["--max-prepared-stmt-count=100000", "--innodb-buffer-pool-size=256M", "--innodb-log-file-size=96M"],
    quick: &["--max-connections=400", "--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=OFF"],
    durable: &["--max-connections=200"],
    small: &[],
    shared: OnceCell::const_new(),
    swept: OnceCell::const_new(),
};

impl Kind {
    pub(crate) fn durable_settings(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.settings.iter().chain(self.durable).copied()
    }

    /// Without arguments for the server.
    pub(crate) fn image(&self) -> ContainerRequest<GenericImage> {
        let (name, value) = self.environment;
        let image = shared::image(self.image_variable, self.usual_image);
        image.with_env_var(name, value).with_shm_size(256 << 20)
    }
}

impl Recipe for Kind {
    fn name(&self) -> &'static str {
        self.name
    }

    fn url_variable(&self) -> &'static str {
        self.url_variable
    }

    fn port(&self) -> u16 {
        self.port
    }

    /// The admin database.
    fn url_at(&self, port: u16) -> String {
        format!("{}@127.0.0.1:{port}/{}", self.scheme_and_login, self.admin_database)
    }

    fn shared_image(&self) -> ContainerRequest<GenericImage> {
        self.image().with_cmd(self.settings.iter().chain(self.quick).copied())
    }

    fn own_image(&self) -> ContainerRequest<GenericImage> {
        self.image().with_cmd(self.durable_settings())
    }

    fn small_image(&self, bytes: u64) -> ContainerRequest<GenericImage> {
        let disk = Mount::tmpfs_mount(self.data).with_size_bytes(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.image().with_cmd(self.durable_settings().chain(self.small.iter().copied())).with_mount(disk)
    }

    /// Over TCP. The images' first starts also run a server for their preparations, but that one listens on a Unix
    /// socket only.
    fn answers(&self, url: String) -> BoxFuture<'static, Result<(), String>> {
        async move { admin::execute(&url, "SELECT 1").await.map_err(|e| e.to_string()) }.boxed()
    }

    fn found(&self) -> &OnceCell<(String, bool)> {
        &self.shared
    }
}
