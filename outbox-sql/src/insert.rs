use outbox_core::{Limits, Message, StoreError};

use crate::{Dialect, Names};

/// A statement that writes messages, for a client that this project has no crate for, and its parameters in order:
/// for each message `id` (UUID as text), `topic`, `key`, `event_type`, `payload`, `content_type`, `headers` (JSON).
///
/// Run it inside the transaction that makes the messages true. At most 65,535 parameters fit into a statement of
/// Postgres and 32,766 of SQLite: 4,000 messages fit everywhere.
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
    let (id, headers) = match dialect {
        Dialect::Postgres => ("::text::uuid", "::text::jsonb"),
        Dialect::Sqlite => ("", ""),
    };
    let mut sql =
        names.render("insert into outbox_message (id, topic, key, event_type, payload, content_type, headers) values ");
    let mut params = Vec::with_capacity(messages.len() * 7);
    for (i, m) in messages.iter().enumerate() {
        limits.check(m)?;
        let p: Vec<String> = (1..=7).map(|n| format!("${}", i * 7 + n)).collect();
        let id = match dialect {
            Dialect::Postgres => format!("{}{id}", p[0]),
            Dialect::Sqlite => format!("unhex(replace({}, '-', ''))", p[0]),
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

/// A parameter of [`insert`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// Text, or null.
    Text(Option<String>),
    /// Bytes.
    Bytes(Vec<u8>),
}
