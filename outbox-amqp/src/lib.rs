//! Carries the messages of an outbox to RabbitMQ.
