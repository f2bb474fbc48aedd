use std::collections::{BTreeMap, HashMap};

use outbox_core::{Message, MessageId, StoreError, StoreErrorKind};
use serde_json::json;
use uuid::Uuid;

use super::statements::now;
use super::{Statement, Window};
use crate::{Dialect, Names, Value, literals};

/// Keys of one statement.
const CHUNK: usize = 500;

/// The claims on the deduplication keys of some messages.
///
/// A claim writes the key, or counts one more attempt on it, in one statement: that waits for another transaction which
/// claims the same key, and then knows its outcome. The first attempt has the message.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Of each key, the first message that has it. In one order everywhere, so that claims do not deadlock.
    first: BTreeMap<String, MessageId>,
    /// What the database says: whose the key is, and how many attempts there were.
    found: HashMap<String, (MessageId, i64)>,
}

impl Claims {
    pub(super) fn of(messages: &[Message]) -> Self {
        let mut first = BTreeMap::new();
        for m in messages {
            if let Some(key) = &m.dedup_key {
                first.entry(key.clone()).or_insert(m.id);
            }
        }
        Self { first, found: HashMap::new() }
    }

    pub(super) fn statements(&self, dialect: Dialect, names: &Names, window: Window) -> Vec<Statement> {
        let keys: Vec<(&String, &MessageId)> = self.first.iter().collect();
        keys.chunks(CHUNK).flat_map(|keys| statements(dialect, names, window, keys)).collect()
    }

    /// The rows of a statement: key, id, attempts.
    pub(super) fn answer(&mut self, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        for row in rows {
            let column = |i: usize| row.get(i).and_then(Value::text);
            let id = column(1).and_then(|id| Uuid::parse_str(id).ok());
            let (Some(key), Some(id), Some(times)) = (column(0), id, row.get(2).and_then(Value::int)) else {
                return Err(unexpected(format!("a claim reads {row:?}")));
            };
            self.found.insert(key.to_owned(), (id.into(), times));
        }
        Ok(())
    }

    /// The message that has the key of this one: where that is another one, this one is not written.
    pub(super) fn owner(&mut self, m: &Message) -> Result<Owner, StoreError> {
        let Some(key) = &m.dedup_key else { return Ok(Owner::This) };
        let Some((id, times)) = self.found.get_mut(key) else {
            return Err(unexpected("a claim gave no answer"));
        };
        if *times == 1 && *id == m.id {
            // Those that follow in the same call, also with the same id, come second.
            *times += 1;
            return Ok(Owner::This);
        }
        Ok(Owner::Another(*id))
    }
}

/// Who has a deduplication key.
pub(super) enum Owner {
    This,
    Another(MessageId),
}

fn unexpected(what: impl ToString) -> StoreError {
    StoreError::new(StoreErrorKind::Unexpected, "enqueue").with_detail(what.to_string())
}

fn statements(dialect: Dialect, names: &Names, window: Window, keys: &[(&String, &MessageId)]) -> Vec<Statement> {
    let text = |sql: &str| names.render_for(dialect, &sql.replace("{NOW}", now(dialect)));
    let params = || {
        let keys: Vec<_> = keys.iter().map(|(key, id)| json!({ "key": key, "id": id.to_string() })).collect();
        vec![Value::from(json!(keys).to_string()), window.micros().into()]
    };
    match dialect {
        Dialect::Postgres => vec![(text(POSTGRES), params())],
        Dialect::Sqlite => vec![(text(SQLITE), params())],
        Dialect::Mysql => {
            let rows = keys.iter().map(|(key, id)| {
                let params = [key.as_str().into(), Value::Uuid(id.as_uuid().as_u128()), window.micros().into()];
                literals(MYSQL_ROW, &params)
            });
            let rows: Vec<String> = rows.collect();
            let among: Vec<String> =
                keys.iter().map(|(key, _)| literals("cast($1 as binary)", &[key.as_str().into()])).collect();
            vec![
                (text(&MYSQL.replace("{ROWS}", &rows.join(", "))), Vec::new()),
                (text(&MYSQL_FOUND.replace("{AMONG}", &among.join(", "))), Vec::new()),
            ]
        }
    }
}

/// `$1` keys and ids as JSON, `$2` microseconds to remember them.
const POSTGRES: &str = "insert into outbox_dedup as d (key, id, expires_at) \
    select k.key, k.id, now() + $2::int8 * interval '1 us' from jsonb_to_recordset($1::text::jsonb) k(key text, id uuid) \
    on conflict (key) do update set id = case when d.expires_at <= now() then excluded.id else d.id end, \
        times = case when d.expires_at <= now() then 1 else d.times + 1 end, \
        expires_at = case when d.expires_at <= now() then excluded.expires_at else d.expires_at end \
    returning key, id::text, times";

const SQLITE: &str = "insert into outbox_dedup as d (key, id, expires_at) \
    select json_extract(k.value, '$.key'), unhex(replace(json_extract(k.value, '$.id'), '-', '')), {NOW} + $2 \
    from json_each($1) k where true \
    on conflict (key) do update set id = case when d.expires_at <= {NOW} then excluded.id else d.id end, \
        times = case when d.expires_at <= {NOW} then 1 else d.times + 1 end, \
        expires_at = case when d.expires_at <= {NOW} then excluded.expires_at else d.expires_at end \
    returning key, hex(id), times";

const MYSQL_ROW: &str = "(cast($1 as binary), $2, timestampadd(microsecond, $3, {NOW}))";
// expires_at comes last: what is assigned before must see the old one.
const MYSQL: &str = "insert into outbox_dedup (dedup_key, id, expires_at) values {ROWS} \
    on duplicate key update times = if(expires_at <= {NOW}, 1, times + 1), \
        id = if(expires_at <= {NOW}, values(id), id), \
        expires_at = if(expires_at <= {NOW}, values(expires_at), expires_at)";
// Of this transaction's own writes: no other snapshot hides them.
const MYSQL_FOUND: &str = "select convert(dedup_key using utf8mb4), hex(id), times from outbox_dedup \
    where dedup_key in ({AMONG})";
