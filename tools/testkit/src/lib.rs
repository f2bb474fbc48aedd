//! Real servers, a fault proxy, child processes, and the way transports are tried, for the tests.
//!
//! A server is found by its environment variable (`OUTBOX_TEST_POSTGRES_URL`, `OUTBOX_TEST_KAFKA_URL` and so on), else
//! it is a container of a local or pulled image (`OUTBOX_TEST_POSTGRES_IMAGE` and so on as `name:tag`). A test that can
//! have neither fails and says why: it never passes unrun. All helpers panic on failure.
//!
//! Containers carry the label `outbox-test=1`. Those that tests share outlive them, to be removed by `cargo xtask`.

mod admin;
mod bin_path;
mod broker;
mod child;
mod cloud_event;
mod container;
mod engine;
mod exec;
mod handle;
mod kafka_client;
mod kafka_pair;
mod kafka_record;
mod kafka_server;
mod kind;
mod localstack;
mod mysql;
mod names;
mod nats;
mod pgbouncer;
mod postgres;
mod postgres_pair;
mod publish;
mod rabbitmq;
mod relayed;
mod sample;
mod server;
mod shared;
mod sns_topic;
mod wait;

pub use bin_path::outbox_bin;
pub use child::Process;
pub use cloud_event::CloudEvent;
pub use handle::Handle;
pub use kafka_pair::KafkaPair;
pub use kafka_record::KafkaRecord;
pub use kafka_server::Kafka;
pub use localstack::Localstack;
pub use mysql::Mysql;
pub use names::free_port;
pub use nats::Nats;
pub use outbox_conformance::transport::Proxy;
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use postgres_pair::PostgresPair;
pub use publish::publish;
pub use rabbitmq::RabbitMq;
pub use relayed::{Copy, Relayed};
pub use sample::{Sample, batch, numbers};
pub use server::Server;
pub use sns_topic::{SnsMessage, SnsTopic};
pub use wait::eventually;
