use outbox_core::{Limits, Message, StoreError};

use crate::{Dialect, Names};

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
/// `InvalidMessage` for the first message that is out of `limits`.
pub fn insert(
    dialect: Dialect,
    names: &Names,
    limits: &Limits,
    messages: &[Message],
) -> Result<(String, Vec<Param>), StoreError> {
    if messages.is_empty() {
        return Ok(("select 1 from (select 1 as one) one_row where 1 = 0".into(), Vec::new()));
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
