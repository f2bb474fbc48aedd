//! What the engine needs of a database client: about 150 lines for each client and database.

use std::fmt::Debug;

use async_trait::async_trait;
use outbox_core::{BatchBuilder, Row, StoreError};

use crate::{Dialect, Line};

/// Opens connections of the relay's own: their session settings never reach a pool that the application uses.
#[async_trait]
pub trait Driver: Debug + Send + Sync + 'static {
    /// Which statements it takes.
    fn dialect(&self) -> Dialect;

    /// Opens a connection.
    ///
    /// # Errors
    /// `Unavailable` where waiting may help.
    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError>;

    /// Opens a connection that hears the doorbell's rings on this channel; `None`, which is the default, where this
    /// client cannot.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    async fn listen(&self, channel: &str) -> Result<Option<Box<dyn Line>>, StoreError> {
        _ = channel;
        Ok(None)
    }
}

/// One connection. The engine drops it after any error, and when a call was cancelled.
///
/// # Errors
/// Kinds: `Unavailable` for a lost connection, a server that starts or is full; `Conflict` for a deadlock, a
/// serialization failure, a busy database; `Schema` for an unknown table, column or function; else `Unexpected`. The
/// operation is named by the engine.
#[async_trait]
pub trait Connection: Debug + Send {
    /// Runs one statement and returns its rows. Columns are 64-bit integers or text.
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError>;

    /// Runs one statement that returns message rows, with the columns `seq, id, topic, key, event_type, payload,
    /// content_type, headers, created_at`, and adds them to `into` until that is full. A row without an id is a note.
    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError>;

    /// Runs statements without parameters or rows.
    async fn script(&mut self, sql: &str) -> Result<(), StoreError>;
}

/// A parameter or a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// 64 bits, or null.
    Int(Option<i64>),
    /// Text, or null.
    Text(Option<String>),
    /// The 16 bytes of a UUID. Only a parameter.
    Uuid(u128),
    /// Bytes. Only a parameter.
    Bytes(Vec<u8>),
    /// A list: `int8[]` on Postgres, a JSON array elsewhere. Only a parameter.
    Ints(Vec<i64>),
}

impl Value {
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => *n,
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => t.as_deref(),
            _ => None,
        }
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(Some(n))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

/// What a statement of message rows returned.
#[derive(Debug, Default)]
pub struct Rows {
    pub(crate) messages: BatchBuilder,
    pub(crate) notes: Vec<Note>,
    full_at: Option<usize>,
}

/// A row without an id: the snapshot of the statement, or a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) seq: i64,
    pub(crate) topic: Option<String>,
    pub(crate) key: Option<String>,
}

impl Rows {
    pub(crate) fn with_capacity(messages: usize, bytes: usize) -> Self {
        Self { messages: BatchBuilder::with_capacity(messages, bytes), ..Self::default() }
    }

    /// Full at so many bytes of messages.
    pub(crate) fn full_at(mut self, bytes: usize) -> Self {
        self.full_at = Some(bytes);
        self
    }

    /// Whether no further row is wanted: the rest of the answer is to be dropped.
    pub fn is_full(&self) -> bool {
        self.full_at.is_some_and(|bytes| self.messages.bytes() >= bytes)
    }

    /// A row with an id.
    pub fn message(&mut self, row: &Row<'_>) {
        self.messages.push(row);
    }

    /// A row without an id.
    pub fn note(&mut self, seq: i64, topic: Option<&str>, key: Option<&str>) {
        self.notes.push(Note { seq, topic: topic.map(str::to_owned), key: key.map(str::to_owned) });
    }
}
