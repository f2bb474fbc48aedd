//! Carries the messages of an outbox to Amazon SNS.
