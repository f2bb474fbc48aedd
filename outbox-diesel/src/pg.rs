//! What the two Postgres clients share: parameters, values, errors and the statements that write messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::deserialize::Result as Read;
use diesel::pg::{Pg, PgValue};
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text, Uuid as SqlUuid};
use outbox_core::{Message, StoreError, StoreErrorKind};
use outbox_sql::{Connection, Names, Pooled, Value};
use uuid::Uuid;

use crate::rows::Raw;
use crate::statement::Statement;

/// Messages of one statement.
pub(crate) const CHUNK: usize = 1_000;
/// Microseconds from 1970 to 2000, where Postgres begins to count.
const EPOCH: i64 = 946_684_800_000_000;
const INT8: u32 = 20;

impl Raw for Pg {
    fn value(raw: Option<PgValue<'_>>) -> Read<Value> {
        match raw {
            Some(raw) if raw.get_oid().get() == INT8 => Ok(Value::from(Self::int(raw)?)),
            Some(raw) => Ok(Value::from(Self::text(raw)?)),
            None => Ok(Value::Text(None)),
        }
    }

    fn int(raw: PgValue<'_>) -> Read<i64> {
        Ok(i64::from_be_bytes(raw.as_bytes().try_into()?))
    }

    fn text(raw: PgValue<'_>) -> Read<String> {
        Ok(std::str::from_utf8(raw.as_bytes())?.to_owned())
    }

    fn bytes(raw: PgValue<'_>) -> Read<Vec<u8>> {
        Ok(raw.as_bytes().to_vec())
    }

    fn time(raw: PgValue<'_>) -> Read<i64> {
        Ok(Self::int(raw)?.saturating_add(EPOCH))
    }
}

pub(crate) fn statement(sql: &str, params: Vec<Value>) -> Statement<'static, Pg> {
    params.into_iter().fold(Statement::new(sql), |statement, param| match param {
        Value::Int(n) => statement.bind::<Nullable<BigInt>, _>(n),
        Value::Text(text) => statement.bind::<Nullable<Text>, _>(text),
        Value::Uuid(id) => statement.bind::<SqlUuid, _>(Uuid::from_u128(id)),
        Value::Bytes(bytes) => statement.bind::<Binary, _>(bytes),
        Value::Ints(list) => statement.bind::<Array<BigInt>, _>(list),
    })
}

/// Puts parameters before those that a URL has: the last one of a name counts.
pub(crate) fn with_params(url: &str, params: &[&str]) -> String {
    match url.split_once('?') {
        _ if !url.contains("://") => format!("{} {url}", params.join(" ")),
        Some((base, query)) => format!("{base}?{}&{query}", params.join("&")),
        None => format!("{url}?{}", params.join("&")),
    }
}

/// The URL with a setting that a connection then knows, unless it comes from a pooler: those refuse or drop what they
/// cannot give to every client. `None` for a URL with settings of its own, which no pooler takes either.
pub(crate) fn marked(url: &str) -> Option<String> {
    let mark = if url.contains("://") { "options=-c%20outbox.direct%3Don" } else { "options='-c outbox.direct=on'" };
    (!url.contains("options=")).then(|| with_params(url, &[mark]))
}

/// Whether a pooler may have refused the mark.
pub(crate) fn refuses_mark(error: &diesel::ConnectionError) -> bool {
    error.to_string().contains("unsupported startup parameter")
}

/// A connection that was opened with the mark, wrapped where it comes from a pooler.
pub(crate) async fn seen(
    mut conn: Box<dyn Connection>,
    announce: &AtomicBool,
) -> Result<Box<dyn Connection>, StoreError> {
    let rows = conn.query("select current_setting('outbox.direct', true)", &[]).await?;
    if rows.first().is_some_and(|row| row.contains(&Value::from("on"))) {
        return Ok(conn);
    }
    if announce.swap(false, Ordering::Relaxed) {
        tracing::warn!(
            "the relay's connections go through a pooler (PgBouncer). It works there, with three round trips a \
             statement instead of one: give the relay a direct URL"
        );
    }
    Ok(Box::new(Pooled::new(conn)))
}

/// The statements that write messages.
#[derive(Debug, Clone)]
pub(crate) struct Inserts {
    one: Arc<str>,
    many: Arc<str>,
}

impl Default for Inserts {
    fn default() -> Self {
        Self::new(&Names::default())
    }
}

impl Inserts {
    pub(crate) fn new(names: &Names) -> Self {
        let into = "insert into outbox_message (id, topic, key, event_type, payload, content_type, headers)";
        let many = "select id, topic, key, event_type, payload, content_type, headers::jsonb \
            from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[]) \
            as u(id, topic, key, event_type, payload, content_type, headers)";
        Self {
            one: names.render(&format!("{into} values ($1, $2, $3, $4, $5, $6, $7::text::jsonb)")).into(),
            many: names.render(&format!("{into} {many}")).into(),
        }
    }

    pub(crate) fn one<'m>(&self, m: &'m Message) -> Statement<'m, Pg> {
        Statement::new(&self.one)
            .bind::<SqlUuid, _>(m.id.as_uuid())
            .bind::<Text, _>(&m.topic)
            .bind::<Nullable<Text>, _>(&m.key)
            .bind::<Text, _>(&m.event_type)
            .bind::<Binary, _>(&m.payload[..])
            .bind::<Nullable<Text>, _>(&m.content_type)
            .bind::<Nullable<Text>, _>(m.headers_json())
    }

    pub(crate) fn many<'m>(&self, messages: &'m [Message]) -> Statement<'m, Pg> {
        let m = messages.iter();
        Statement::new(&self.many)
            .bind::<Array<SqlUuid>, _>(m.clone().map(|m| m.id.as_uuid()).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(m.clone().map(|m| m.topic.as_str()).collect::<Vec<_>>())
            .bind::<Array<Nullable<Text>>, _>(m.clone().map(|m| m.key.as_deref()).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(m.clone().map(|m| m.event_type.as_str()).collect::<Vec<_>>())
            .bind::<Array<Binary>, _>(m.clone().map(|m| &m.payload[..]).collect::<Vec<_>>())
            .bind::<Array<Nullable<Text>>, _>(m.clone().map(|m| m.content_type.as_deref()).collect::<Vec<_>>())
            .bind::<Array<Nullable<Text>>, _>(m.map(Message::headers_json).collect::<Vec<_>>())
    }
}

/// The text is English unless the server says otherwise (`lc_messages`). In another language the kinds of diesel and
/// the place in the statement still tell what matters; a deadlock then counts as unavailable, which is tried again too.
pub(crate) fn judge(kind: &DatabaseErrorKind, text: &str, points: bool) -> StoreErrorKind {
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    match kind {
        DatabaseErrorKind::SerializationFailure => StoreErrorKind::Conflict,
        DatabaseErrorKind::CheckViolation => StoreErrorKind::InvalidMessage,
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::ForeignKeyViolation
        | DatabaseErrorKind::RestrictViolation
        | DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::ExclusionViolation => StoreErrorKind::Unexpected,
        DatabaseErrorKind::UnableToSendCommand
        | DatabaseErrorKind::ReadOnlyTransaction
        | DatabaseErrorKind::ClosedConnection => StoreErrorKind::Unavailable,
        _ if says(&["deadlock detected", "could not serialize access", "could not obtain lock", "lock timeout"]) => {
            StoreErrorKind::Conflict
        }
        _ if says(&["transaction is aborted"]) => StoreErrorKind::RolledBack,
        _ if says(&["invalid byte sequence"]) => StoreErrorKind::InvalidMessage,
        _ if says(WRONG) => StoreErrorKind::Unexpected,
        // A statement that was fine for the tables of this version.
        _ if points || text.ends_with("does not exist") => StoreErrorKind::Schema,
        _ => StoreErrorKind::Unavailable,
    }
}

/// A wrong statement, password, database or value: no waiting mends that.
const WRONG: &[&str] = &[
    "syntax error",
    "invalid input syntax",
    "out of range",
    "value too long",
    "permission denied",
    "must be owner",
    "authentication failed",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "database \"",
    "role \"",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_url_says_comes_last() {
        let with = |url| with_params(url, &["a=1", "b=2"]);
        assert_eq!(with("postgres://u:p@h/db?sslmode=require&a=3"), "postgres://u:p@h/db?a=1&b=2&sslmode=require&a=3");
        assert_eq!(with("postgres://h/db"), "postgres://h/db?a=1&b=2");
        assert_eq!(with("host=h dbname=db"), "a=1 b=2 host=h dbname=db");
        assert_eq!(marked("postgres://h/db?options=-c%20jit%3Doff"), None);
    }
}
