//! What the transports publish, read by clients that nobody here wrote: kcat, and Python's pika, nats-py and boto3.

mod message;
mod python;

pub use message::{Read, assert_as_sent, publish, samples};
pub use python::{python, read};
