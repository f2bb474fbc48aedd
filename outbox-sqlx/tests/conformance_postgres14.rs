//! The store on the oldest Postgres passes the suite, with a database of its own for each clause.
#![cfg(feature = "postgres")]

mod postgres_harness;

use postgres_harness::Harness;

struct Oldest;

impl postgres_harness::Server for Oldest {
    async fn database() -> (String, Self) {
        (testkit::Postgres::version("14").await.database().await, Self)
    }
}

outbox_conformance::store_suite!(Harness<Oldest>);
