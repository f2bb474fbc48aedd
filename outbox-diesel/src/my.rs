//! What the two clients of MySQL and MariaDB share: values, errors and the statement that writes messages.

use std::sync::Arc;

use diesel::deserialize::Result;
use diesel::mysql::{Mysql, MysqlType, MysqlValue};
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{Binary, Nullable, Text};
use outbox_core::{Message, StoreErrorKind};
use outbox_sql::{Dialect, Names, Value};

use crate::rows::Raw;
use crate::statement::Statement;

/// Messages of one statement.
pub(crate) const CHUNK: usize = 500;

/// Whether a statement gives rows: diesel wants to know beforehand.
pub(crate) fn gives_rows(sql: &str) -> bool {
    sql.trim_start_matches('(').starts_with("select")
}

impl Raw for Mysql {
    fn value(raw: Option<MysqlValue<'_>>) -> Result<Value> {
        match raw {
            Some(raw) if bits(&raw).is_some() => Ok(Value::from(Self::int(raw)?)),
            Some(raw) => Ok(Value::from(Self::text(raw)?)),
            None => Ok(Value::Int(None)),
        }
    }

    fn int(raw: MysqlValue<'_>) -> Result<i64> {
        let (bits, signed) = bits(&raw).ok_or("not an integer")?;
        widen(raw.as_bytes(), bits, signed)
    }

    fn text(raw: MysqlValue<'_>) -> Result<String> {
        Ok(std::str::from_utf8(raw.as_bytes())?.to_owned())
    }

    fn bytes(raw: MysqlValue<'_>) -> Result<Vec<u8>> {
        Ok(raw.as_bytes().to_vec())
    }

    fn time(raw: MysqlValue<'_>) -> Result<i64> {
        Self::int(raw)
    }
}

/// How an integer is sent, and whether it has a sign.
fn bits(raw: &MysqlValue<'_>) -> Option<(usize, bool)> {
    match raw.value_type() {
        MysqlType::Tiny => Some((8, true)),
        MysqlType::Short => Some((16, true)),
        MysqlType::Long => Some((32, true)),
        MysqlType::LongLong => Some((64, true)),
        MysqlType::UnsignedTiny => Some((8, false)),
        MysqlType::UnsignedShort => Some((16, false)),
        MysqlType::UnsignedLong => Some((32, false)),
        MysqlType::UnsignedLongLong => Some((64, false)),
        _ => None,
    }
}

fn widen(raw: &[u8], bits: usize, signed: bool) -> Result<i64> {
    let bytes = raw.get(..bits / 8).ok_or("a short integer")?;
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    if signed {
        let unused = 64 - bits;
        return Ok((i64::from_le_bytes(wide) << unused) >> unused);
    }
    Ok(u64::from_le_bytes(wide).try_into()?)
}

/// The statement that writes messages, up to its values.
#[derive(Debug, Clone)]
pub(crate) struct Insert(Arc<str>);

impl Default for Insert {
    fn default() -> Self {
        Self::new(&Names::default())
    }
}

impl Insert {
    pub(crate) fn new(names: &Names) -> Self {
        let sql = "insert into outbox_message (id, topic, `key`, event_type, payload, content_type, headers) values ";
        Self(names.render_for(Dialect::Mysql, sql).into())
    }

    /// Messages of one statement take consecutive numbers, in this order.
    pub(crate) fn of<'m>(&self, messages: &'m [Message]) -> Statement<'m, Mysql> {
        let rows = vec!["(?, ?, ?, ?, ?, ?, ?)"; messages.len()].join(", ");
        let sql = format!("{}{rows}", self.0);
        // The statement for one message is prepared once a connection; others have too many lengths.
        let statement = if messages.len() == 1 { Statement::new(&sql) } else { Statement::once(&sql) };
        messages.iter().fold(statement, |statement, m| {
            statement
                .bind::<Binary, _>(m.id.as_uuid().as_bytes().to_vec())
                .bind::<Text, _>(&m.topic)
                .bind::<Nullable<Text>, _>(&m.key)
                .bind::<Text, _>(&m.event_type)
                .bind::<Binary, _>(&m.payload[..])
                .bind::<Nullable<Text>, _>(&m.content_type)
                .bind::<Nullable<Text>, _>(m.headers_json())
        })
    }
}

/// The text is English unless the server says otherwise (`lc_messages`); in another language most errors count as
/// unavailable, which is tried again.
pub(crate) fn judge(kind: &DatabaseErrorKind, text: &str, _points: bool) -> StoreErrorKind {
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    match kind {
        DatabaseErrorKind::SerializationFailure => StoreErrorKind::Conflict,
        DatabaseErrorKind::CheckViolation => StoreErrorKind::InvalidMessage,
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::NotNullViolation => StoreErrorKind::Unexpected,
        _ if says(CONFLICT) => StoreErrorKind::Conflict,
        _ if says(INVALID) => StoreErrorKind::InvalidMessage,
        _ if says(&["doesn't exist", "Unknown column", "does not exist"]) => StoreErrorKind::Schema,
        _ if says(WRONG) => StoreErrorKind::Unexpected,
        _ => StoreErrorKind::Unavailable,
    }
}

/// A deadlock, a lock wait timeout, a changed snapshot, a conflict that is found at the commit.
const CONFLICT: &[&str] = &[
    "Deadlock found",
    "Lock wait timeout exceeded",
    "Record has changed since last read",
    "during COMMIT",
    "instructed the server to rollback",
    "Write conflict",
    "KV error safe to retry",
];
/// Too large, too long, not UTF-8, not JSON, against a check.
const INVALID: &[&str] = &[
    "max_allowed_packet",
    "Data too long",
    "Incorrect string value",
    "Invalid JSON text",
    "Check constraint",
    "CONSTRAINT ",
];
/// A wrong statement, password, database or value: no waiting mends that.
const WRONG: &[&str] = &[
    "error in your SQL syntax",
    "Access denied",
    // A server answers an unknown user with any of its plugins, also with one that the client does not have.
    "uthentication plugin",
    "command denied",
    "Unknown database",
    "Unknown system variable",
    "Duplicate entry",
    "Out of range",
    "Incorrect ",
    "Invalid default",
    "doesn't have a default value",
    "cannot be null",
    "foreign key constraint",
    "is not allowed",
    "not supported",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_rows_is_known_beforehand() {
        assert!(gives_rows("select 1") && gives_rows("(select 1) union all (select 2)"));
        assert!(!gives_rows("update t set a = 1") && !gives_rows("insert into t select 1"));
    }

    #[test]
    fn integers_of_every_width_keep_their_sign() {
        assert_eq!(widen(&[0xff], 8, true).unwrap(), -1);
        assert_eq!(widen(&[0xff], 8, false).unwrap(), 255);
        assert_eq!(widen(&[0xfe, 0xff, 0xff, 0xff], 32, true).unwrap(), -2);
        assert_eq!(widen(&i64::MIN.to_le_bytes(), 64, true).unwrap(), i64::MIN);
        assert!(widen(&u64::MAX.to_le_bytes(), 64, false).is_err());
        assert!(widen(&[1], 64, true).is_err());
    }
}
