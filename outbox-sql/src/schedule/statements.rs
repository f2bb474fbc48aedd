use crate::{Dialect, Names, Value};

/// The statements of the mover. Ids are text; a statement on many is for [`Sql::of`].
#[derive(Debug)]
pub(crate) struct Sql {
    pub(super) dialect: Dialect,
    /// Of a connection of the mover's own.
    pub(super) setup: &'static str,
    /// Begins a transaction that writes.
    pub(super) begin: &'static str,
    /// Within it, where a commit may be lost: a move that was undone by a crash would be made again, of what is published
    /// by then.
    pub(super) durable: Option<&'static str>,
    /// Gives: ms until the next message is due, or null; ms until something is to be pruned.
    pub(super) look: String,
    /// Gives a row where nobody else moves or prunes, and locks it.
    pub(super) claim: String,
    /// `$1` limit. Gives id and key of what is due, in order.
    pub(super) due: String,
    /// Of ids: locks them, and gives those that nobody else has locked. `None`: there is one writer.
    pub(super) lock: Option<String>,
    /// Of ids.
    pub(super) moves: Vec<String>,
    /// Puts the row back where somebody emptied all tables.
    pub(super) mend: String,
    /// `$1` ms until something is to be pruned again.
    pub(super) pruned: String,
}

struct Text {
    setup: &'static str,
    begin: &'static str,
    durable: Option<&'static str>,
    look: &'static str,
    claim: &'static str,
    due: &'static str,
    lock: Option<&'static str>,
    moves: &'static [&'static str],
    mend: &'static str,
    pruned: &'static str,
}

impl Sql {
    pub(crate) fn new(dialect: Dialect, names: &Names) -> Self {
        let text = match dialect {
            Dialect::Postgres => &POSTGRES,
            Dialect::Mysql => &MYSQL,
            Dialect::Sqlite => &SQLITE,
        };
        let fill = |sql: &str| names.render_for(dialect, &sql.replace("{NOW}", now(dialect)));
        Self {
            dialect,
            setup: text.setup,
            begin: text.begin,
            durable: text.durable,
            look: fill(text.look),
            claim: fill(text.claim),
            due: fill(text.due),
            lock: text.lock.map(fill),
            moves: text.moves.iter().map(|sql| fill(sql)).collect(),
            mend: fill(text.mend),
            pruned: fill(text.pruned),
        }
    }

    /// A statement on these ids, which came from the database as hexadecimal digits.
    pub(super) fn of(&self, sql: &str, ids: &[&str]) -> (String, Vec<Value>) {
        let list = |around: &str, ends: (&str, &str)| {
            let ids: Vec<String> = ids.iter().map(|id| format!("{around}{id}{around}")).collect();
            Value::from(format!("{}{}{}", ends.0, ids.join(","), ends.1))
        };
        match self.dialect {
            Dialect::Postgres => (sql.to_owned(), vec![list("", ("{", "}"))]),
            Dialect::Sqlite => (sql.to_owned(), vec![list("\"", ("[", "]"))]),
            Dialect::Mysql => {
                let ids: Vec<String> = ids.iter().map(|id| format!("x'{id}'")).collect();
                (sql.replace("{IDS}", &ids.join(",")), Vec::new())
            }
        }
    }
}

/// The database's clock: of the transaction on Postgres, else of the statement.
pub(crate) fn now(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "now()",
        Dialect::Mysql => "utc_timestamp(6)",
        Dialect::Sqlite => crate::sqlite::NOW,
    }
}

const POSTGRES: Text = Text {
    // The one plan that stays good however the table grows: its indexes.
    setup: "set jit = off; set enable_seqscan = off; set default_transaction_isolation = 'read committed'",
    begin: "begin",
    // A statement of its own: through a pooler several are a transaction of their own.
    durable: Some("set local synchronous_commit = on"),
    look: "select ceil(extract(epoch from (select min(due_at) from outbox_scheduled) - now()) * 1000)::int8, \
            ceil(extract(epoch from prune_at - now()) * 1000)::int8 from outbox_mover",
    claim: "select 1::int8 from outbox_mover for update skip locked",
    due: "select id::text, key from outbox_scheduled where due_at <= now() order by due_at, id limit $1::int8",
    lock: Some("select id::text from outbox_scheduled where id = any($1::text::uuid[]) for update skip locked"),
    moves: &["with gone as (delete from outbox_scheduled where id = any($1::text::uuid[]) returning *) \
        insert into outbox_message (id, topic, key, event_type, payload, content_type, headers, created_at) \
        select id, topic, key, event_type, payload, content_type, headers, created_at from gone order by due_at, id"],
    mend: "insert into outbox_mover default values on conflict do nothing",
    pruned: "update outbox_mover set prune_at = clock_timestamp() + $1::int8 * interval '1 ms'",
};

const MYSQL: Text = Text {
    setup: "set session transaction isolation level read committed; \
        set time_zone = '+00:00', innodb_lock_wait_timeout = 5",
    begin: "start transaction",
    durable: None,
    look: "select cast(ceil(timestampdiff(microsecond, {NOW}, (select min(due_at) from outbox_scheduled)) / 1000) as signed), \
            cast(ceil(timestampdiff(microsecond, {NOW}, prune_at) / 1000) as signed) from outbox_mover",
    claim: "select 1 from outbox_mover where id = 1 for update skip locked",
    due: "select hex(id), `key` from outbox_scheduled force index (due) where due_at <= {NOW} order by due_at, id limit $1",
    // By the primary key, row by row: a scan would wait for those who write beside.
    lock: Some("select hex(id) from outbox_scheduled force index (primary) where id in ({IDS}) for update skip locked"),
    moves: &[
        "insert into outbox_message (id, topic, `key`, event_type, payload, content_type, headers, created_at) \
        select id, topic, `key`, event_type, payload, content_type, headers, created_at \
        from outbox_scheduled force index (primary) where id in ({IDS}) order by due_at, id",
        "delete /*+ INDEX(s `PRIMARY`) */ /*M! s */ from outbox_scheduled s /*M! force index (primary) */ \
        where id in ({IDS})",
    ],
    mend: "insert ignore into outbox_mover (id) values (1)",
    pruned: "update outbox_mover set prune_at = timestampadd(microsecond, $1 * 1000, {NOW})",
};

const SQLITE: Text = Text {
    setup: "pragma journal_mode = wal; pragma busy_timeout = 5000; pragma synchronous = normal",
    begin: "begin immediate",
    durable: None,
    look: "select ((select min(due_at) from outbox_scheduled) - {NOW} + 999) / 1000, (prune_at - {NOW} + 999) / 1000 \
        from outbox_mover",
    claim: "select 1 from outbox_mover",
    due: "select hex(id), key from outbox_scheduled where due_at <= {NOW} order by due_at, id limit $1",
    lock: None,
    moves: &[
        "insert into outbox_message (id, topic, key, event_type, payload, content_type, headers, created_at) \
        select id, topic, key, event_type, payload, content_type, headers, created_at \
        from outbox_scheduled where id in (select unhex(value) from json_each($1)) order by due_at, id",
        "delete from outbox_scheduled where id in (select unhex(value) from json_each($1))",
    ],
    mend: "insert or ignore into outbox_mover (id) values (1)",
    pruned: "update outbox_mover set prune_at = {NOW} + $1 * 1000",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_a_parameter_or_stand_in_the_text() {
        let of = |dialect, sql| Sql::new(dialect, &Names::default()).of(sql, &["0A", "0b"]);
        assert_eq!(of(Dialect::Postgres, "$1"), ("$1".into(), vec!["{0A,0b}".into()]));
        assert_eq!(of(Dialect::Sqlite, "$1"), ("$1".into(), vec![r#"["0A","0b"]"#.into()]));
        assert_eq!(of(Dialect::Mysql, "in ({IDS})"), ("in (x'0A',x'0b')".into(), Vec::new()));
    }
}
