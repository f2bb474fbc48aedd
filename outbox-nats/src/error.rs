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

/// What a server calls the store of a stream that it has closed.
const CLOSED: &str = "store is closed";

/// What a stream's refusal of a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not stored, or nobody knows: to be tried again.
    Unknown,
    /// This message.
    Message,
    /// The stream, for every message to it: one that is full too. It was refused before it was stored.
    Destination,
}

impl Fault {
    pub(crate) fn of(error: &ApiError) -> Self {
        match error.error_code() {
            Code::STREAM_MESSAGE_EXCEEDS_MAXIMUM | Code::STREAM_HEADER_EXCEEDS_MAXIMUM => Self::Message,
            Code::STREAM_SEALED | Code::STREAM_NOT_FOUND => Self::Destination,
            // A server that shuts down; others may have stored it.
            Code::STREAM_STORE_FAILED if error.to_string().contains(CLOSED) => Self::Unknown,
            Code::STREAM_STORE_FAILED
            | Code::INSUFFICIENT_RESOURCES
            | Code::ACCOUNT_RESOURCES_EXCEEDED
            | Code::MEMORY_RESOURCES_EXCEEDED
            | Code::STORAGE_RESOURCES_EXCEEDED => Self::Destination,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_has_no_room_for_is_its_own_matter() {
        for (code, text, fault) in [
            (10077, "maximum messages exceeded", Fault::Destination),
            (10077, "maximum bytes exceeded", Fault::Destination),
            (10077, "store is closed", Fault::Unknown),
            (10023, "insufficient resources", Fault::Destination),
            (10002, "resource limits exceeded for account", Fault::Destination),
            (10054, "message size exceeds maximum allowed", Fault::Message),
            (10008, "JetStream system temporarily unavailable", Fault::Unknown),
        ] {
            let json = serde_json::json!({ "code": 503, "err_code": code, "description": text });
            let error: ApiError = serde_json::from_value(json).expect("an error of the API");
            assert_eq!(Fault::of(&error), fault, "{error}");
        }
    }
}
