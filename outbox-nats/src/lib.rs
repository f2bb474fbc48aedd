//! Carries the messages of an outbox to NATS JetStream.
