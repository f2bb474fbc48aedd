use std::ops::Deref;

use crate::Server;
use crate::kind::{Kind, POSTGRES_14, POSTGRES_17, POSTGRES_18};

/// A real PostgreSQL server: [`shared`](Self::shared) for most tests, [`own`](Self::own) for those that harm it.
///
/// What it can do is said at [`Server`].
#[derive(Debug)]
pub struct Postgres(pub(crate) Server);

impl Postgres {
    /// The server of `OUTBOX_TEST_POSTGRES_URL` (an admin database's URL), else one container of PostgreSQL 17 that all
    /// test processes share (without fsync, left running). It allows 400 connections and 64 prepared transactions.
    ///
    /// # Panics
    /// If there is neither the variable nor a Docker engine, or the server does not start.
    pub async fn shared() -> Self {
        Self(Server::shared(&POSTGRES_17).await)
    }

    /// The same for another version, 14 or 18 (`OUTBOX_TEST_POSTGRES18_URL` and so on), or 17. Its image may be without
    /// `psql`.
    ///
    /// # Panics
    /// For a version that the setup does not provide, and like [`shared`](Self::shared).
    pub async fn version(major: &str) -> Self {
        Self(Server::shared(kind(major)).await)
    }

    /// A container of this test's own, PostgreSQL 17 with real fsync, removed on drop.
    ///
    /// # Panics
    /// If there is no Docker engine, or the server does not start.
    pub async fn own() -> Self {
        Self(Server::own(&POSTGRES_17).await)
    }

    /// The same with its data on a disk in memory of so many bytes, for [`Server::fill_disk`]. A kill loses them.
    ///
    /// # Panics
    /// Like [`own`](Self::own), and where the server does not fit.
    pub async fn own_small(bytes: u64) -> Self {
        Self(Server::own_small(&POSTGRES_17, bytes).await)
    }

    /// The same for another version; see [`version`](Self::version).
    ///
    /// # Panics
    /// For a version that the setup does not provide, and like [`own`](Self::own).
    pub async fn own_version(major: &str) -> Self {
        Self(Server::own(kind(major)).await)
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

fn kind(major: &str) -> &'static Kind {
    match major {
        "14" => &POSTGRES_14,
        "17" => &POSTGRES_17,
        "18" => &POSTGRES_18,
        _ => panic!("PostgreSQL {major} is none of the versions that `cargo xtask setup` provides: 14, 17, 18"),
    }
}
