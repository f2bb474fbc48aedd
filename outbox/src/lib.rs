//! The transactional outbox: a database write and an event happen both or neither.
//!
//! The message is written in the caller's own transaction; a relay carries it to the broker, at least once and in order
//! per key. This crate re-exports the others, chosen by features; `default = []` compiles no database and no broker.
//!
//! | feature | gives |
//! |---|---|
//! | `sqlx-postgres` | `outbox::sqlx::Postgres` |
//! | `sqlx-mysql` | `outbox::sqlx::Mysql`, for MySQL and MariaDB |
//! | `sqlx-mysql-rsa` | the same, for a server that is reached without TLS and wants passwords by caching_sha2_password
//! |
//! | `sqlx-sqlite` | `outbox::sqlx::Sqlite` |
//! | `diesel-postgres` | `outbox::diesel::Postgres`, with libpq |
//! | `diesel-mysql` | `outbox::diesel::Mysql`, with libmariadb or libmysqlclient |
//! | `diesel-sqlite` | `outbox::diesel::Sqlite` |
//! | `diesel-async-postgres` | `outbox::diesel::AsyncPostgres` |
//! | `diesel-async-mysql` | `outbox::diesel::AsyncMysql` |
//! | `sql` | `outbox::sql`: the insert and the schema, for other clients (tokio-postgres, sea-orm, rusqlite, ...) |
//! | `kafka` | `outbox::kafka::KafkaTransport` |
//! | `kafka-ssl` | the same with TLS, SASL/SCRAM and SASL/OAUTHBEARER, with the system's OpenSSL |
//! | `amqp` | `outbox::amqp::AmqpTransport`, for RabbitMQ |
//! | `nats` | `outbox::nats::NatsTransport`, for NATS JetStream |
//! | `sns` | `outbox::sns::SnsTransport`, for Amazon SNS |

pub use outbox_core::*;

/// Postgres, MySQL, MariaDB and SQLite through sqlx.
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-mysql", feature = "sqlx-sqlite"))]
pub mod sqlx {
    pub use outbox_sqlx::*;
}

/// Postgres, MySQL, MariaDB and SQLite through diesel and diesel-async.
#[cfg(any(
    feature = "diesel-postgres",
    feature = "diesel-mysql",
    feature = "diesel-sqlite",
    feature = "diesel-async-postgres",
    feature = "diesel-async-mysql"
))]
pub mod diesel {
    pub use outbox_diesel::*;
}

/// The SQL engine: the statement that writes messages with any client, the migrations as text, and a store over a
/// driver of one's own.
#[cfg(feature = "sql")]
pub mod sql {
    pub use outbox_sql::*;
}

/// Kafka through rdkafka.
#[cfg(feature = "kafka")]
pub mod kafka {
    pub use outbox_kafka::*;
}

/// RabbitMQ through lapin.
#[cfg(feature = "amqp")]
pub mod amqp {
    pub use outbox_amqp::*;
}

/// NATS JetStream through async-nats.
#[cfg(feature = "nats")]
pub mod nats {
    pub use outbox_nats::*;
}

/// Amazon SNS through aws-sdk-sns.
#[cfg(feature = "sns")]
pub mod sns {
    pub use outbox_sns::*;
}
