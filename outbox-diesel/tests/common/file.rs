//! SQLite files of tests.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

/// A file of its own, removed with the test.
pub(crate) struct File(String);

impl File {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("outbox-diesel-{}.db", uuid::Uuid::now_v7()));
        Self(path.to_str().expect("a path of text").to_owned())
    }

    pub(crate) fn url(&self) -> &str {
        &self.0
    }

    /// As an application opens it.
    pub(crate) fn open(&self, busy_timeout: Duration) -> SqliteConnection {
        let mut conn = SqliteConnection::establish(&self.0).expect("a file");
        conn.batch_execute(&format!("pragma busy_timeout = {}", busy_timeout.as_millis())).expect("set");
        conn
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            _ = std::fs::remove_file(format!("{}{ending}", self.0));
        }
    }
}
