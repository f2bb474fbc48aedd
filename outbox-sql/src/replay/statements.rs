use crate::sqlite::NOW;
use crate::statements::fill;
use crate::{Dialect, Names};

/// The statements of replays.
#[derive(Debug)]
pub(super) struct Sql {
    /// Session settings; a crash must not undo what is said here.
    pub(super) setup: String,
    /// `$1` relay, `$2` selection as JSON. Gives a row where the name is new.
    pub(super) create: String,
    /// `$1` relay. Gives: how many messages are covered, 1 where none can come.
    pub(super) covered: String,
    /// `$1` relay. Gives, locked: ms that its lease still holds.
    pub(super) held: String,
    /// `$1` relay.
    pub(super) drop: Vec<String>,
}

impl Sql {
    pub(super) fn new(dialect: Dialect, names: &Names) -> Self {
        let (text, parts): (&Text, &[(&str, &str)]) = match dialect {
            Dialect::Postgres => (&POSTGRES, &[("{COVERED}", POSTGRES_COVERED)]),
            Dialect::Sqlite => (&SQLITE, &[("{COVERED}", SQLITE_COVERED), ("{NOW}", NOW)]),
            Dialect::Mysql => (&MYSQL, &[]),
        };
        let fill = |sql: &str| fill(sql, parts, dialect, names);
        Self {
            setup: fill(text.setup),
            create: fill(text.create),
            covered: fill(text.covered),
            held: fill(text.held),
            drop: text.drop.iter().map(|sql| fill(sql)).collect(),
        }
    }
}

/// As it stands in the code.
struct Text {
    setup: &'static str,
    create: &'static str,
    covered: &'static str,
    held: &'static str,
    drop: &'static [&'static str],
}

/// Whether the replay `r` covers the message `m`; true for a relay that is no replay.
pub(crate) const POSTGRES_COVERED: &str = "(r.replay is null or coalesce(m.seq <= (r.replay->>'until')::int8, true) \
    and coalesce(m.created_at >= timestamptz 'epoch' + (r.replay->>'from')::int8 * interval '1 us', true) \
    and coalesce(m.created_at < timestamptz 'epoch' + (r.replay->>'to')::int8 * interval '1 us', true) \
    and (r.replay->>'key' is null or m.key = r.replay->>'key') \
    and (r.replay->'topics' is null or exists (select from jsonb_array_elements_text(r.replay->'topics') t \
         where t = m.topic or right(t, 1) = '*' and starts_with(m.topic, left(t, -1)))))";

/// The same.
pub(crate) const SQLITE_COVERED: &str = "(r.replay is null \
    or coalesce(m.seq <= json_extract(r.replay, '$.until'), 1) \
    and coalesce(m.created_at >= json_extract(r.replay, '$.from'), 1) \
    and coalesce(m.created_at < json_extract(r.replay, '$.to'), 1) \
    and (json_extract(r.replay, '$.key') is null or m.key = json_extract(r.replay, '$.key')) \
    and (json_extract(r.replay, '$.topics') is null or exists (select 1 from json_each(r.replay, '$.topics') t \
         where t.value = m.topic \
            or substr(t.value, -1) = '*' and substr(m.topic, 1, length(t.value) - 1) = rtrim(t.value, '*'))))";

const POSTGRES: Text = Text {
    setup: "set synchronous_commit = on; set default_transaction_isolation = 'read committed'",
    // One statement, so one snapshot. A cursor beyond the sequence is of another history, and so is its floor.
    create: "with r as materialized (select $2::text::jsonb replay), \
            s as (select case when is_called then last_value else 0 end last from outbox_message_seq_seq), \
            p as (select coalesce((select m.seq - 1 from outbox_message m, r where {COVERED} order by m.seq limit 1), \
                    (select max(seq) from outbox_message), 0) start) \
        insert into outbox_relay (relay, position, floor, snapshot, replay) \
        select $1, p.start, least(p.start, coalesce((select max(floor) from outbox_relay, s where position <= last), 0)), \
            pg_current_snapshot(), r.replay || jsonb_build_object('made', s.last) \
                || case when timestamptz 'epoch' + (r.replay->>'to')::int8 * interval '1 us' <= now() \
                        then jsonb_build_object('until', s.last) else '{}' end \
        from r, s, p on conflict do nothing returning 1::int8",
    covered: "select (select count(*) from outbox_message m where m.seq > r.floor and {COVERED}), \
            (r.replay->>'until' is not null)::int::int8 from outbox_relay r where r.relay = $1",
    held: "select case when owner is null then 0 \
                else greatest(0, extract(epoch from expires_at - now()) * 1000)::int8 end \
        from outbox_relay where relay = $1 for update",
    drop: &[
        "delete from outbox_parked where relay = $1",
        "delete from outbox_progress where relay = $1",
        "delete from outbox_incarnation where relay = $1",
        "delete from outbox_control where relay = $1",
        "delete from outbox_paused_key where relay = $1",
        "delete from outbox_relay where relay = $1",
    ],
};

const SQLITE: Text = Text {
    setup: "pragma journal_mode = wal; pragma busy_timeout = 5000; pragma synchronous = full",
    create: "insert into outbox_relay (relay, position, floor, replay) \
        select $1, start, start, json_set(case when json_extract(replay, '$.to') <= {NOW} \
                then json_set(replay, '$.until', last) else replay end, '$.made', last) \
        from (select $2 replay, coalesce( \
                (select m.seq - 1 from outbox_message m, (select $2 replay) r where {COVERED} order by m.seq limit 1), \
                (select max(seq) from outbox_message), 0) start, \
            coalesce((select s.seq from sqlite_sequence s where s.name = replace('outbox_message', '\"', '')), 0) last) \
        where true on conflict do nothing returning 1",
    covered: "select (select count(*) from outbox_message m where m.seq > r.floor and {COVERED}), \
            json_extract(r.replay, '$.until') is not null from outbox_relay r where r.relay = $1",
    held: "select case when owner is null then 0 else max(0, expires_at - {NOW}) / 1000 end \
        from outbox_relay where relay = $1",
    drop: &[
        "delete from outbox_parked where relay = $1",
        "delete from outbox_progress where relay = $1",
        "delete from outbox_control where relay = $1",
        "delete from outbox_paused_key where relay = $1",
        "delete from outbox_relay where relay = $1",
    ],
};

/// No log: only a name can be forgotten, and what it had parked goes back to the messages that wait.
const MYSQL: Text = Text {
    setup: "set session transaction isolation level read committed",
    create: "",
    covered: "",
    held: "select cast(case when owner is null then 0 \
                else greatest(0, timestampdiff(microsecond, utc_timestamp(6), expires_at)) div 1000 end as signed) \
        from outbox_relay where relay = $1 for update",
    drop: &[
        "insert into outbox_message (id, topic, `key`, event_type, payload, content_type, headers, created_at) \
        select id, topic, `key`, event_type, payload, content_type, headers, created_at \
        from outbox_parked where relay = $1 order by seq",
        "delete from outbox_parked where relay = $1",
        "delete from outbox_note where relay = $1",
        "delete from outbox_control where relay = $1",
        "delete from outbox_paused_key where relay = $1",
        "delete from outbox_relay where relay = $1",
    ],
};
