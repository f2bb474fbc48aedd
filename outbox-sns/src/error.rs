use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};

/// A setting that cannot work; the text says which and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnsConfigError(String);

impl SnsConfigError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for SnsConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SnsConfigError {}

/// What a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Stored or not, or not now: to be tried again.
    Passing,
    /// As `Passing`, but nothing that a moment's wait mends: credentials, an error that nobody knows.
    Unknown,
    /// This message, or another one of the request that it went with.
    Message,
    /// The topic, for every message to it.
    Destination,
}

impl Fault {
    /// By the code of SNS, whether of a whole request or of one entry of a batch.
    pub(crate) fn of_code(code: &str, text: &str) -> Option<Self> {
        let code = code.strip_suffix("Exception").unwrap_or(code);
        Some(match code {
            "KMSThrottling" | "InternalError" | "InternalFailure" | "ServiceUnavailable" => Self::Passing,
            _ if code.contains("Throttl") || code.contains("LimitExceeded") || code == "SlowDown" => Self::Passing,
            // Of an ARN that is none, or of another region.
            _ if code.starts_with("InvalidParameter") && text.contains("TopicArn") => Self::Destination,
            _ if code.starts_with("KMS") => Self::Destination,
            "NotFound"
            | "ResourceNotFound"
            | "AuthorizationError"
            | "AccessDenied"
            | "EndpointDisabled"
            | "PlatformApplicationDisabled"
            | "InvalidState" => Self::Destination,
            _ if code.starts_with("InvalidParameter") => Self::Message,
            "ParameterValueInvalid"
            | "Validation"
            | "ValidationError"
            | "BatchRequestTooLong"
            | "InvalidBatchEntryId"
            | "TooManyEntriesInBatchRequest"
            | "BatchEntryIdsNotDistinct"
            | "EmptyBatchRequest"
            | "RequestEntityTooLarge" => Self::Message,
            _ => return None,
        })
    }

    /// Of an entry of a batch.
    pub(crate) fn of_entry(code: &str, text: &str, sender_fault: bool) -> Self {
        match Self::of_code(code, text) {
            // Not ours, says SNS.
            Some(Self::Message) if !sender_fault => Self::Passing,
            Some(fault) => fault,
            None if sender_fault => Self::Message,
            None => Self::Passing,
        }
    }

    /// Of a whole request.
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Self {
        let SdkError::ServiceError(service) = error else {
            // No answer, or none that can be read.
            return match error {
                SdkError::ConstructionFailure(_) => Self::Unknown,
                _ => Self::Passing,
            };
        };
        let (code, text) = (service.err().code().unwrap_or_default(), service.err().message().unwrap_or_default());
        Self::of_code(code, text).unwrap_or_else(|| match service.raw().status().as_u16() {
            413 => Self::Message,
            // A success that cannot be read is a lost reply.
            200..300 | 408 | 429 | 500.. => Self::Passing,
            _ => Self::Unknown,
        })
    }
}

/// The error with its causes, on one line.
pub(crate) fn text<E: std::error::Error + ProvideErrorMetadata + 'static>(error: &SdkError<E>) -> String {
    match error {
        SdkError::ServiceError(service) if service.err().code().is_some() => {
            let (code, text) = (service.err().code().unwrap_or_default(), service.err().message().unwrap_or_default());
            format!("SNS says {code}: {text}")
        }
        error => {
            let mut text = format!("{error}");
            let mut next = std::error::Error::source(error);
            while let Some(cause) = next {
                text.push_str(&format!(": {cause}"));
                next = cause.source();
            }
            text
        }
    }
}
