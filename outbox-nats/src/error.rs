use async_nats::jetstream::{Error as ApiError, ErrorCode as Code};

/// A setting that cannot work; the text says which and what to do.
#[derive(Debug)]
pub struct NatsConfigError(String);

impl NatsConfigError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for NatsConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NatsConfigError {}

/// What a stream's refusal of a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not stored, or nobody knows: to be tried again. A stream that is full is among them.
    Unknown,
    /// This message.
    Message,
    /// The stream, for every message to it.
    Destination,
}

impl Fault {
    pub(crate) fn of(error: &ApiError) -> Self {
        match error.error_code() {
            Code::STREAM_MESSAGE_EXCEEDS_MAXIMUM | Code::STREAM_HEADER_EXCEEDS_MAXIMUM => Self::Message,
            Code::STREAM_SEALED | Code::STREAM_NOT_FOUND => Self::Destination,
            _ => Self::Unknown,
        }
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Many errors of the client repeat their cause.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
