//! Rows of statements that are known only as text: by position, not by name.

use diesel::backend::Backend;
use diesel::deserialize::{QueryableByName, Result};
use diesel::result::UnexpectedEndOfRow;
use diesel::row::{Field, NamedRow, Row};
use outbox_core::Row as MessageRow;
use outbox_sql::{Rows, Value};

/// How a database sends its values.
pub(crate) trait Raw: Backend {
    fn value(raw: Option<Self::RawValue<'_>>) -> Result<Value>;

    fn int(raw: Self::RawValue<'_>) -> Result<i64>;

    fn text(raw: Self::RawValue<'_>) -> Result<String>;

    fn bytes(raw: Self::RawValue<'_>) -> Result<Vec<u8>>;

    /// Microseconds since 1970.
    fn time(raw: Self::RawValue<'_>) -> Result<i64>;
}

/// The columns of any row.
pub(crate) struct Columns(pub(crate) Vec<Value>);

impl<DB: Raw> QueryableByName<DB> for Columns {
    fn build<'a>(row: &impl NamedRow<'a, DB>) -> Result<Self> {
        (0..row.field_count()).map(|i| column(row, i, DB::value)).collect::<Result<_>>().map(Self)
    }
}

/// A row of messages; one without an id is a note.
pub(crate) struct Found {
    seq: i64,
    id: Option<[u8; 16]>,
    topic: Option<String>,
    key: Option<String>,
    event_type: Option<String>,
    payload: Option<Vec<u8>>,
    content_type: Option<String>,
    headers: Option<String>,
    created_at: Option<i64>,
}

impl<DB: Raw> QueryableByName<DB> for Found {
    fn build<'a>(row: &impl NamedRow<'a, DB>) -> Result<Self> {
        let text = |i| column(row, i, |raw| raw.map(DB::text).transpose());
        let id = column(row, 1, |raw| raw.map(DB::bytes).transpose())?;
        Ok(Self {
            seq: column(row, 0, |raw| DB::int(raw.ok_or(diesel::result::UnexpectedNullError)?))?,
            id: id.map(|id| <[u8; 16]>::try_from(id.as_slice())).transpose()?,
            topic: text(2)?,
            key: text(3)?,
            event_type: text(4)?,
            payload: column(row, 5, |raw| raw.map(DB::bytes).transpose())?,
            content_type: text(6)?,
            headers: text(7)?,
            created_at: column(row, 8, |raw| raw.map(DB::time).transpose())?,
        })
    }
}

impl Found {
    pub(crate) fn add_to(&self, rows: &mut Rows) {
        let Some(id) = self.id else {
            rows.note(self.seq, self.topic.as_deref(), self.key.as_deref());
            return;
        };
        rows.message(&MessageRow {
            seq: self.seq,
            id: u128::from_be_bytes(id),
            created_at: self.created_at.unwrap_or(0),
            topic: self.topic.as_deref().unwrap_or_default(),
            key: self.key.as_deref(),
            event_type: self.event_type.as_deref().unwrap_or_default(),
            payload: self.payload.as_deref().unwrap_or_default(),
            content_type: self.content_type.as_deref(),
            headers: self.headers.as_deref(),
        });
    }
}

fn column<'a, DB: Backend, T>(
    row: &impl Row<'a, DB>,
    i: usize,
    read: impl FnOnce(Option<DB::RawValue<'_>>) -> Result<T>,
) -> Result<T> {
    let field = row.get(i).ok_or(UnexpectedEndOfRow)?;
    read(field.value())
}
