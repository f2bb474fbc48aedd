//! Real servers, a fault proxy and child processes for the tests.
//!
//! A server is found by its environment variable (`OUTBOX_TEST_POSTGRES_URL`, `OUTBOX_TEST_KAFKA_URL`), else it is a
//! container of a local or pulled image (`OUTBOX_TEST_POSTGRES_IMAGE`, `OUTBOX_TEST_KAFKA_IMAGE` as `name:tag`). A test
//! that can have neither fails and says why: it never passes unrun. All helpers panic on failure.
//!
//! Containers carry the label `outbox-test=1`. Those that tests share outlive them, to be removed by `cargo xtask`.

mod bin_path;
mod child;
mod container;
mod engine;
mod kafka_client;
mod kafka_record;
mod kafka_server;
mod names;
mod postgres;
mod shared;
mod wait;

pub use bin_path::outbox_bin;
pub use child::Process;
pub use kafka_record::KafkaRecord;
pub use kafka_server::Kafka;
pub use names::free_port;
pub use outbox_conformance::transport::Proxy;
pub use postgres::Postgres;
pub use wait::eventually;
