use std::ops::Deref;

use crate::Server;
use crate::kind::{MARIADB, MYSQL};

/// A real MySQL or MariaDB server: [`mysql`](Self::mysql) and [`mariadb`](Self::mariadb) for most tests,
/// [`own_mysql`](Self::own_mysql) and [`own_mariadb`](Self::own_mariadb) for those that harm it.
///
/// What it can do is said at [`Server`]. URLs are `mysql://` for both. MySQL asks for `caching_sha2_password`: a client
/// without TLS needs RSA for that (sqlx: the feature `mysql-rsa`).
#[derive(Debug)]
pub struct Mysql(Server);

impl Mysql {
    /// The server of `OUTBOX_TEST_MYSQL_URL` (an admin database's URL), else one container of MySQL 9.7 that all test
    /// processes share (without binary log, flushed to disk once a second, left running). It allows 400 connections.
    ///
    /// # Panics
    /// If there is neither the variable nor a Docker engine, or the server does not start.
    pub async fn mysql() -> Self {
        Self(Server::shared(&MYSQL).await)
    }

    /// The same for MariaDB 11.8, with `OUTBOX_TEST_MARIADB_URL`.
    ///
    /// # Panics
    /// Like [`mysql`](Self::mysql).
    pub async fn mariadb() -> Self {
        Self(Server::shared(&MARIADB).await)
    }

    /// A container of this test's own with the server's usual durability (a flush per commit), removed on drop.
    ///
    /// # Panics
    /// If there is no Docker engine, or the server does not start.
    pub async fn own_mysql() -> Self {
        Self(Server::own(&MYSQL).await)
    }

    /// The same with its data on a disk in memory of so many bytes and without a binary log, for
    /// [`Server::fill_disk`]. A kill loses them.
    ///
    /// # Panics
    /// Like [`own_mysql`](Self::own_mysql), and where the server does not fit.
    pub async fn own_small_mysql(bytes: u64) -> Self {
        Self(Server::own_small(&MYSQL, bytes).await)
    }

    /// The same for MariaDB.
    ///
    /// # Panics
    /// Like [`own_mysql`](Self::own_mysql).
    pub async fn own_mariadb() -> Self {
        Self(Server::own(&MARIADB).await)
    }
}

impl Deref for Mysql {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
