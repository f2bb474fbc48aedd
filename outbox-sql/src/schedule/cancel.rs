use outbox_core::MessageId;

use super::Statement;
use crate::{Dialect, Names, Value};

/// The statements that take back a message that waits until it is due, and free its deduplication key. Run them in this
/// order in one transaction: it was taken back if one of them gives a row. One that has moved is there no longer.
pub fn cancel(dialect: Dialect, names: &Names, id: MessageId) -> Vec<Statement> {
    let texts: &[&str] = match dialect {
        Dialect::Postgres => &["with gone as (delete from outbox_scheduled where id = $1 returning id, dedup_key), \
            freed as (delete from outbox_dedup d using gone g where d.key = g.dedup_key and d.id = g.id) \
            select 1::int8 from gone"],
        // A row that is about to be moved is waited for: whoever locks it first has it.
        Dialect::Mysql => &[
            "select 1 from outbox_scheduled where id = $1 for update",
            "delete d from outbox_dedup d join outbox_scheduled s on d.dedup_key = s.dedup_key and d.id = s.id \
            where s.id = $1",
            "delete from outbox_scheduled where id = $1",
        ],
        Dialect::Sqlite => &[
            "delete from outbox_dedup where (key, id) in (select s.dedup_key, s.id from outbox_scheduled s \
            where s.id = unhex(replace($1, '-', '')))",
            "delete from outbox_scheduled where id = unhex(replace($1, '-', '')) returning 1",
        ],
    };
    let id = Value::Uuid(id.as_uuid().as_u128());
    texts.iter().map(|sql| (names.render_for(dialect, sql), vec![id.clone()])).collect()
}
