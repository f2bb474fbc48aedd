//! The transactional outbox: a database write and an event happen both or neither.
//!
//! The message is written in the caller's own transaction; a relay carries it to the broker, at least once and in order
//! per key. This crate re-exports the others, chosen by features; `default = []` compiles no database and no broker.
//!
//! | feature | gives |
//! |---|---|
//! | `sqlx-postgres` | `outbox::sqlx::Postgres` |
//! | `sqlx-sqlite` | `outbox::sqlx::Sqlite` |
//! | `kafka` | `outbox::kafka::KafkaTransport` |
//! | `kafka-ssl` | the same with TLS and SASL/SCRAM, with the system's OpenSSL |

pub use outbox_core::*;

/// Postgres and SQLite through sqlx.
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
pub mod sqlx {
    pub use outbox_sqlx::*;
}

/// Kafka through rdkafka.
#[cfg(feature = "kafka")]
pub mod kafka {
    pub use outbox_kafka::*;
}
