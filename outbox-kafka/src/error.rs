use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// A setting that cannot work; the text says which and what to do.
#[derive(Debug)]
pub struct KafkaConfigError {
    text: String,
    source: Option<KafkaError>,
}

impl KafkaConfigError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), source: None }
    }

    pub(crate) fn refused(source: KafkaError) -> Self {
        let refused = "Kafka's client refuses the settings: check their names and values";
        match source {
            // The error's own text ends with the value, which may be a secret.
            KafkaError::ClientConfig(_, why, ..) => Self::new(format!("{refused}: {why}")),
            source => Self { text: refused.into(), source: Some(source) },
        }
    }
}

impl std::fmt::Display for KafkaConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for KafkaConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

/// What the failure of one message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Stored or not: to be tried again.
    Unknown,
    /// This message, or another one of the request that it went with.
    Message,
    /// The topic, for every message to it.
    Destination,
}

impl Fault {
    pub(crate) fn of(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            // The broker refuses a whole request for one message in it.
            Some(
                Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::InvalidRecord
                | Code::InvalidTimestamp
                | Code::InvalidMessageSize,
            ) => Self::Message,
            Some(
                Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::InvalidTopic
                | Code::TopicAuthorizationFailed
                | Code::PolicyViolation,
            ) => Self::Destination,
            _ => Self::Unknown,
        }
    }
}

/// Whether the client can send nothing more.
pub(crate) fn is_fatal(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::Fatal | Code::GaplessGuarantee))
}
