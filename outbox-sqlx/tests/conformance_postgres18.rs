//! The store on the newest Postgres passes the suite, with a database of its own for each clause.
#![cfg(feature = "postgres")]

mod postgres_harness;

use postgres_harness::Harness;

struct Newest;

impl postgres_harness::Server for Newest {
    async fn database() -> (String, Self) {
        (testkit::Postgres::version("18").await.database().await, Self)
    }
}

outbox_conformance::store_suite!(Harness<Newest>);
