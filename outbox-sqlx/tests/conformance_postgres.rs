//! The store on Postgres passes the suite, with a database of its own for each clause.
#![cfg(feature = "postgres")]

mod postgres_harness;

use postgres_harness::Harness;

struct Shared;

impl postgres_harness::Server for Shared {
    async fn database() -> (String, Self) {
        (testkit::Postgres::shared().await.database().await, Self)
    }
}

outbox_conformance::store_suite!(Harness<Shared>);
