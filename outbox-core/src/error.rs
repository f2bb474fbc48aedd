//! The errors of this crate: a kind to act on, an operation to log, a boxed source to read.

use std::fmt;

/// Any error, boxed: the source of one of ours, or what a transport says of a message.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A message that cannot be enqueued or delivered as it is. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {advice}")]
pub struct InvalidMessage {
    what: String,
    advice: String,
}

impl InvalidMessage {
    /// `what` names the part that is wrong and how; `advice` says what to do.
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }
}

/// What a [`StoreError`] asks of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The database cannot be reached, or is starting, or took too long. Passes by itself: try again.
    Unavailable,
    /// A deadlock, a serialization failure, a busy database. Run the transaction again.
    Conflict,
    /// The connection is not inside a transaction, so the message would not be atomic with anything.
    NotInTransaction,
    /// An earlier statement of the transaction had failed, and its error was passed over: nothing of it is stored. On
    /// MySQL and MariaDB what followed that statement is; the text says so.
    RolledBack,
    /// The tables are missing, older or newer than this code. The text names the command that mends it.
    Schema,
    /// The message is not valid; the text says which part.
    InvalidMessage,
    /// The lease is held by another process or was lost: forget what was handed out and acquire again.
    LeaseLost,
    /// The message sequence went back (`TRUNCATE ... RESTART IDENTITY`, a restore). The text names the command that
    /// mends it.
    SequenceWentBack,
    /// A name or setting that cannot work.
    Config,
    /// Anything else; see the source.
    Unexpected,
}

/// An error of a [`Store`](crate::Store), or of enqueueing a message.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    detail: Option<String>,
    source: Option<BoxError>,
}

impl StoreError {
    /// An error of `kind` in `operation` ("fetch", "enqueue").
    pub fn new(kind: StoreErrorKind, operation: &'static str) -> Self {
        Self { kind, operation, detail: None, source: None }
    }

    /// Adds what was seen and what to do.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Names the operation it happened in.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.operation = operation;
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The error with its causes, on one line, for a log.
    pub fn with_causes(&self) -> String {
        chain(self)
    }

    /// Whether the same call may succeed later without anyone's help.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable | StoreErrorKind::Conflict | StoreErrorKind::LeaseLost)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            StoreErrorKind::Unavailable => "the database is not available",
            StoreErrorKind::Conflict => "the transaction conflicted with another; run it again",
            StoreErrorKind::NotInTransaction => "not inside a transaction",
            StoreErrorKind::RolledBack => "the transaction was rolled back",
            StoreErrorKind::Schema => "the outbox tables do not fit this version",
            StoreErrorKind::InvalidMessage => "invalid message",
            StoreErrorKind::LeaseLost => "the lease was lost",
            StoreErrorKind::SequenceWentBack => "the message sequence went back",
            StoreErrorKind::Config => "invalid configuration",
            StoreErrorKind::Unexpected => "unexpected database error",
        };
        write!(f, "{}: {kind}", self.operation)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| &**e as _)
    }
}

impl From<InvalidMessage> for StoreError {
    fn from(e: InvalidMessage) -> Self {
        Self::new(StoreErrorKind::InvalidMessage, "enqueue").with_detail(e.to_string())
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
