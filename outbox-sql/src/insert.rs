use outbox_core::{Limits, Message, StoreError, StoreErrorKind};

use crate::schedule::{Statement, Writing, now};
use crate::{Dialect, Names, Value};

/// A statement that writes messages, for a client that this project has no crate for, and its parameters in order:
/// for each message `id` (UUID as text), `topic`, `key`, `event_type`, `payload`, `content_type`, `headers` (JSON).
///
/// Run it inside the transaction that makes the messages true, on its connection. Messages of one statement keep their
/// order. At most 65,535 parameters fit into a statement of Postgres, MySQL and MariaDB and 32,766 of SQLite: 4,000
/// messages fit everywhere. MySQL and MariaDB also bound its bytes (`max_allowed_packet`, 16 MiB or more). Without
/// messages it is a statement that does nothing.
///
/// The examples `examples/tokio-postgres` and `examples/sea-orm` run it in some ten lines.
///
/// ```
/// use outbox_core::{Limits, Message};
/// use outbox_sql::{Dialect, Names, insert};
///
/// let message = Message::new("orders", "order.created").key(7).text("paid");
/// let (sql, params) = insert(Dialect::Postgres, &Names::default(), &Limits::DEFAULT, &[message])?;
/// assert!(sql.starts_with("insert into \"outbox_message\""));
/// assert_eq!(params.len(), 7);
/// # Ok::<(), outbox_core::StoreError>(())
/// ```
///
/// # Errors
/// `InvalidMessage` for the first message that is out of `limits`, and where one is for later
/// ([`insert_scheduled`]) or has a deduplication key ([`Writing`]).
pub fn insert(
    dialect: Dialect,
    names: &Names,
    limits: &Limits,
    messages: &[Message],
) -> Result<(String, Vec<Param>), StoreError> {
    if messages.is_empty() {
        return Ok(("select 1 from (select 1 as one) one_row where 1 = 0".into(), Vec::new()));
    }
    if Writing::is_needed(messages) {
        return Err(StoreError::new(StoreErrorKind::InvalidMessage, "enqueue").with_detail(
            "one statement cannot write messages for later beside others, nor look for deduplication keys: use \
             `insert_scheduled` for the former, and the steps of `Writing` for both",
        ));
    }
    let (id, headers) = match dialect {
        Dialect::Postgres => ("::text::uuid", "::text::jsonb"),
        Dialect::Mysql | Dialect::Sqlite => ("", ""),
    };
    let mut sql = names.render_for(dialect, "insert into outbox_message (id, topic, ");
    sql += if dialect == Dialect::Mysql { "`key`" } else { "key" };
    sql += ", event_type, payload, content_type, headers) values ";
    let mut params = Vec::with_capacity(messages.len() * 7);
    for (i, m) in messages.iter().enumerate() {
        limits.check(m)?;
        let p: [String; 7] = std::array::from_fn(|n| match dialect {
            Dialect::Mysql => "?".into(),
            _ => format!("${}", i * 7 + n + 1),
        });
        let id = match dialect {
            Dialect::Postgres => format!("{}{id}", p[0]),
            Dialect::Mysql | Dialect::Sqlite => format!("unhex(replace({}, '-', ''))", p[0]),
        };
        let comma = if i == 0 { "" } else { ", " };
        sql += &format!("{comma}({id}, {}, {}, {}, {}, {}, {}{headers})", p[1], p[2], p[3], p[4], p[5], p[6]);
        params.extend([
            Param::Text(Some(m.id.to_string())),
            Param::Text(Some(m.topic.clone())),
            Param::Text(m.key.clone()),
            Param::Text(Some(m.event_type.clone())),
            Param::Bytes(m.payload.to_vec()),
            Param::Text(m.content_type.clone()),
            Param::Text(m.headers_json()),
        ]);
    }
    Ok((sql, params))
}

/// As [`insert`], for messages that are all [for later](Message::deliver_at) and have no deduplication key; of one that
/// is not for later, it is due at once. Its parameters are `id`, `due` and `after` (microseconds since 1970, and after
/// now, as text; one of them null), `topic`, `key`, `event_type`, `payload`, `content_type`, `headers`.
///
/// # Errors
/// `InvalidMessage` for the first message that is out of `limits` or has a deduplication key.
pub fn insert_scheduled(
    dialect: Dialect,
    names: &Names,
    limits: &Limits,
    messages: &[Message],
) -> Result<(String, Vec<Param>), StoreError> {
    if messages.is_empty() {
        return insert(dialect, names, limits, messages);
    }
    messages.iter().try_for_each(|m| limits.check(m))?;
    if messages.iter().any(|m| m.dedup_key.is_some()) {
        return Err(StoreError::new(StoreErrorKind::InvalidMessage, "enqueue")
            .with_detail("deduplication keys take more than one statement: use the steps of `Writing`"));
    }
    let cast = match dialect {
        Dialect::Postgres => Cast { id: "{}::text::uuid", int: "{}::text::int8", numbered: true },
        Dialect::Mysql => Cast { id: "unhex(replace({}, '-', ''))", int: "cast({} as signed)", numbered: false },
        Dialect::Sqlite => Cast { id: "unhex(replace({}, '-', ''))", int: "cast({} as integer)", numbered: true },
    };
    let sql = scheduled_text(dialect, names, messages.len(), &cast, false);
    let params = messages.iter().flat_map(|m| {
        let (due, after) = due(m);
        let text = |n: Option<i64>| Param::Text(n.map(|n| n.to_string()));
        [
            Param::Text(Some(m.id.to_string())),
            text(due),
            text(after),
            Param::Text(Some(m.topic.clone())),
            Param::Text(m.key.clone()),
            Param::Text(Some(m.event_type.clone())),
            Param::Bytes(m.payload.to_vec()),
            Param::Text(m.content_type.clone()),
            Param::Text(m.headers_json()),
        ]
    });
    Ok((sql, params.collect()))
}

/// The same for the engine, with deduplication keys.
pub(crate) fn scheduled(dialect: Dialect, names: &Names, messages: &[Message]) -> Statement {
    let cast = match dialect {
        Dialect::Postgres => Cast { id: "{}", int: "{}::int8", numbered: true },
        Dialect::Mysql => Cast { id: "{}", int: "{}", numbered: true },
        Dialect::Sqlite => Cast { id: "unhex(replace({}, '-', ''))", int: "{}", numbered: true },
    };
    let params = messages.iter().flat_map(|m| {
        let (due, after) = due(m);
        [
            Value::Uuid(m.id.as_uuid().as_u128()),
            Value::Int(due),
            Value::Int(after),
            m.topic.as_str().into(),
            Value::Text(m.key.clone()),
            m.event_type.as_str().into(),
            Value::Bytes(m.payload.to_vec()),
            Value::Text(m.content_type.clone()),
            Value::Text(m.headers_json()),
            Value::Text(m.dedup_key.clone()),
        ]
    });
    (scheduled_text(dialect, names, messages.len(), &cast, true), params.collect())
}

/// Where a message is not for later, it is due at once.
fn due(m: &Message) -> (Option<i64>, Option<i64>) {
    m.due.map_or((None, Some(0)), outbox_core::Due::micros)
}

/// How parameters are turned into what the columns take; `{}` is the parameter.
struct Cast {
    id: &'static str,
    int: &'static str,
    /// `$1`, or `?`.
    numbered: bool,
}

fn scheduled_text(dialect: Dialect, names: &Names, rows: usize, cast: &Cast, dedup: bool) -> String {
    let columns = "insert into outbox_scheduled (id, due_at, topic, {KEY}, event_type, payload, content_type, headers";
    let key = if dialect == Dialect::Mysql { "`key`" } else { "key" };
    let mut sql = names.render_for(dialect, &columns.replace("{KEY}", key));
    sql += if dedup { ", dedup_key) values " } else { ") values " };
    let due = match dialect {
        Dialect::Postgres => {
            "coalesce(timestamptz 'epoch' + {DUE} * interval '1 us', {NOW} + {AFTER} * interval '1 us')"
        }
        Dialect::Mysql => {
            "coalesce(timestampadd(microsecond, {DUE}, cast('1970-01-01' as datetime(6))), \
            timestampadd(microsecond, {AFTER}, {NOW}))"
        }
        Dialect::Sqlite => "coalesce({DUE}, {NOW} + {AFTER})",
    };
    let due = due.replace("{NOW}", now(dialect));
    let headers = if dialect == Dialect::Postgres { "::text::jsonb" } else { "" };
    let mut n = 0;
    let mut next = || {
        n += 1;
        if cast.numbered { format!("${n}") } else { "?".into() }
    };
    for row in 0..rows {
        let id = cast.id.replace("{}", &next());
        let (at, after) = (cast.int.replace("{}", &next()), cast.int.replace("{}", &next()));
        let due = due.replace("{DUE}", &at).replace("{AFTER}", &after);
        let comma = if row == 0 { "" } else { ", " };
        let texts: Vec<String> = (0..6).map(|_| next()).collect();
        let dedup = if dedup { format!(", {}", next()) } else { String::new() };
        sql += &format!("{comma}({id}, {due}, {}{headers}{dedup})", texts.join(", "));
    }
    sql
}

/// Cuts messages for statements of at most `most` messages and about 1 MiB, so that no server refuses the packet; a
/// larger message is alone.
pub fn portions(messages: &[Message], most: usize) -> impl Iterator<Item = &[Message]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(most).take_while(|m| {
            bytes += m.payload.len() + m.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
            bytes <= PORTION
        });
        let (portion, others) = rest.split_at(fits.count().max(1).min(rest.len()));
        rest = others;
        (!portion.is_empty()).then_some(portion)
    })
}

/// Bytes of a statement.
const PORTION: usize = 1 << 20;

/// A parameter of [`insert`]: `match` it, or turn it [into a value](Self::into_value) of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// Text, or null.
    Text(Option<String>),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Param {
    /// As a value of a client that has one type for all: `sea_orm::Value`, `rusqlite::types::Value`,
    /// `mysql_async::Value`. Nothing is copied.
    ///
    /// ```
    /// # use outbox_sql::Param;
    /// # #[derive(Debug, PartialEq)]
    /// # enum Value { Null, Text(String), Blob(Vec<u8>) }
    /// # impl From<Option<String>> for Value {
    /// #     fn from(text: Option<String>) -> Self { text.map_or(Self::Null, Self::Text) }
    /// # }
    /// # impl From<Vec<u8>> for Value {
    /// #     fn from(bytes: Vec<u8>) -> Self { Self::Blob(bytes) }
    /// # }
    /// let params = vec![Param::Text(Some("orders".into())), Param::Text(None), Param::Bytes(vec![0xff])];
    /// let values: Vec<Value> = params.into_iter().map(Param::into_value).collect();
    /// assert_eq!(values, [Value::Text("orders".into()), Value::Null, Value::Blob(vec![0xff])]);
    /// ```
    pub fn into_value<V: From<Option<String>> + From<Vec<u8>>>(self) -> V {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => bytes.into(),
        }
    }
}
