use std::ops::Deref;

use crate::container::Container;
use crate::handle::Handle;
use crate::kind::Kind;
use crate::{admin, names};

/// A real database server: what all kinds have in common. [`Postgres`](crate::Postgres) and the others are one.
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    kind: &'static Kind,
}

impl Server {
    /// The server of the kind's environment variable, else one container that all test processes share.
    pub(crate) async fn shared(kind: &'static Kind) -> Self {
        let server = Handle::shared(kind).await;
        kind.swept.get_or_init(|| admin::drop_stale(server.url())).await;
        Self { handle: server, kind }
    }

    /// A container of the caller's own.
    pub(crate) async fn own(kind: &'static Kind) -> Self {
        Self { handle: Handle::own(kind).await, kind }
    }

    /// The same with its data on a disk in memory of so many bytes: gone when it is killed.
    pub(crate) async fn own_small(kind: &'static Kind, bytes: u64) -> Self {
        Self { handle: Handle::own_small(kind, bytes).await, kind }
    }

    /// A container of the caller's own that was just started; returns when it answers.
    pub(crate) async fn started(kind: &'static Kind, url: String, container: Container) -> Self {
        let port = admin::port(&url);
        Self { handle: Handle::started(kind, url, port, container).await, kind }
    }

    /// Takes all that is left of the disk that the data are on: only for a server with a small one of its own.
    pub async fn fill_disk(&self) {
        // The command's own complaint about the full disk is its success.
        let fill = format!("cat /dev/zero > {}/ballast 2> /dev/null || true", self.kind.data);
        self.exec(&["sh", "-c", &fill]).await;
    }

    /// Gives back what [`fill_disk`](Self::fill_disk) took.
    pub async fn free_disk(&self) {
        self.exec(&["rm", &format!("{}/ballast", self.kind.data)]).await;
    }

    /// A new empty database with a name of its own; returns its URL. It need not be dropped.
    ///
    /// # Panics
    /// If the server refuses, as a standby does.
    pub async fn database(&self) -> String {
        let name = names::unique(admin::PREFIX, '_');
        let created = admin::execute(self.url(), &format!("CREATE DATABASE {name}")).await;
        created.unwrap_or_else(|e| panic!("CREATE DATABASE at {}: {e}", self.url()));
        admin::with_database(self.url(), &name)
    }
}

impl Deref for Server {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}
