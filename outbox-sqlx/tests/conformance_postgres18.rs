//! The store on the newest Postgres passes the suite, with a database of its own for each clause.
#![cfg(feature = "postgres")]

mod postgres_harness;

use postgres_harness::Harness;

struct Newest;

impl postgres_harness::Server for Newest {
    async fn server() -> testkit::Postgres {
        testkit::Postgres::version("18").await
    }
}

outbox_conformance::store_suite!(Harness<Newest>);
