//! The store passes the suite through a real PgBouncer in transaction mode too: no statement may rely on a session.
#![cfg(feature = "postgres")]

mod postgres_harness;

use std::sync::{Arc, Weak};

use postgres_harness::Harness;
use testkit::PgBouncer;
use tokio::sync::Mutex;

/// One for the tests that run at the same time; gone with the last of them.
struct Pooler {
    _running: Arc<PgBouncer>,
}

impl postgres_harness::Server for Pooler {
    async fn database() -> (String, Self) {
        static RUNNING: Mutex<Weak<PgBouncer>> = Mutex::const_new(Weak::new());
        let server = testkit::Postgres::shared().await;
        let mut running = RUNNING.lock().await;
        let pooler = match running.upgrade() {
            Some(found) => found,
            None => Arc::new(PgBouncer::before(&server).await),
        };
        *running = Arc::downgrade(&pooler);
        (pooler.through(&server.database().await), Self { _running: pooler })
    }
}

outbox_conformance::store_suite!(Harness<Pooler>);
