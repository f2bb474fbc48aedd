//! The statements for SQLite. Numbered parameters are the same as on Postgres.

use crate::replay::SQLITE_COVERED;
use crate::statements::Text;

pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/sqlite/0001_initial.sql"),
    include_str!("../migrations/sqlite/0002_retention_and_replay.sql"),
    include_str!("../migrations/sqlite/0003_scheduled_dedup_inbox.sql"),
    include_str!("../migrations/sqlite/0004_desk_and_crashes.sql"),
];

pub(crate) const NOW: &str = "cast(unixepoch('subsec') * 1000000 as integer)";
/// SQLite checks no types: what another writer got wrong must not stop the relay.
const COLUMNS: &str = "seq, substr(cast(id as blob), 1, 16), cast(topic as text), \
    cast(key as text), cast(event_type as text), cast(payload as blob), cast(content_type as text), \
    cast(headers as text), cast(created_at as integer)";
const OWN: &str = "relay = $1 and epoch = $2 and token = $3";
/// A note where epoch and token are ours, nothing otherwise.
const HEADER: &str =
    "select 0 seq, null id, null topic, null key, null, null, null, null, null from outbox_relay where {OWN}";

/// What stands for what in the statements, in the order of replacement.
pub(crate) const PARTS: &[(&str, &str)] =
    &[("{HEADER}", HEADER), ("{COLUMNS}", COLUMNS), ("{OWN}", OWN), ("{NOW}", NOW), ("{COVERED}", SQLITE_COVERED)];

pub(crate) const STATEMENTS: Text = Text {
    setup_fetch: "pragma journal_mode = wal; pragma busy_timeout = 5000; pragma query_only = on",
    setup_settle: "pragma journal_mode = wal; pragma busy_timeout = 5000; pragma synchronous = normal",
    begin: "begin immediate",
    durable: "pragma synchronous = full",
    lazy: "pragma synchronous = normal",
    version: "select max(version) from outbox_schema",
    ensure: "insert into outbox_relay (relay, position) \
        select $1, case when $2 = 1 then coalesce((select max(seq) from outbox_message), 0) else 0 end \
        where true on conflict do nothing",
    sequence: "select coalesce((select s.seq from sqlite_sequence s where s.name = replace('outbox_message', '\"', '')), \
            0), r.position, null, null from (select 1) left join outbox_relay r on r.relay = $1",
    acquire: "update outbox_relay set owner = $2, epoch = epoch + 1, token = $3, lease = $4, topics = $5, \
            expires_at = {NOW} + $4 * 1000, \
            crashes = crashes + (owner is not null and owner <> $2 and not outage), \
            suspect = case when owner is not null and owner <> $2 and not outage then suspect end, outage = 0 \
        where relay = $1 and (owner is null or owner = $2 or expires_at < {NOW}) \
        returning epoch, position, floor, null, unsettled, replay",
    standing: "select max(0, coalesce(expires_at, 0) - {NOW}) / 1000, epoch, 1, lease, '' \
        from outbox_relay where relay = $1",
    parked: "select seq, key, attempts, max(0, (next_attempt_at - {NOW}) / 1000), last_error \
        from outbox_parked where relay = $1 order by seq",
    // From the ranges to their rows: for each row, thousands of ranges would take minutes.
    scan: "{HEADER} union all select * from (select {COLUMNS} from (select json_extract(value, '$[0]') low, \
            json_extract(value, '$[1]') high from json_each($7)) u cross join outbox_message m \
        where m.seq between u.low and u.high and seq > $4 and seq <= $5 \
        and not exists (select 1 from outbox_parked p where p.relay = $1 and p.seq = m.seq) \
        and not exists (select 1 from outbox_dead_letter d where d.relay = $1 and d.seq = m.seq and d.id = m.id) \
        order by seq)",
    fetch: "{HEADER} union all select * from (\
        select {COLUMNS} from outbox_message where seq > $4 order by seq limit $5)",
    fetch_holes: "",
    fetch_ranges: "",
    writers: "",
    read: "{HEADER} union all select * from (select {COLUMNS} from outbox_message \
        where seq in (select value from json_each($4)) order by seq)",
    settle: &["update outbox_relay set position = $4, floor = $5, unsettled = $7, expires_at = {NOW} + lease * 1000, \
            settled_at = case when $8 = 1 then {NOW} else settled_at end, \
            crashes = case when $8 = 1 then 0 else crashes end \
        where {OWN} returning {NOW}"],
    settle_full: &[
        "update outbox_relay set position = $4, floor = $5, unsettled = $7, expires_at = {NOW} + lease * 1000, \
            settled_at = case when $8 = 1 then {NOW} else settled_at end, \
            crashes = case when $8 = 1 then 0 else crashes end \
        where {OWN} returning {NOW}",
        "insert into outbox_dead_letter (relay, seq, id, topic, key, event_type, payload, content_type, headers, \
            created_at, reason, attempts, history) \
        select $1, m.seq, m.id, m.topic, m.key, m.event_type, m.payload, m.content_type, m.headers, m.created_at, \
            json_extract(d.value, '$.reason'), json_extract(d.value, '$.attempts'), \
            (select p.last_error from outbox_parked p where p.relay = $1 and p.seq = m.seq) \
        from json_each($13) d join outbox_message m on m.seq = json_extract(d.value, '$.seq') \
        where true on conflict do nothing",
        "delete from outbox_parked where relay = $1 and seq in (select value from json_each($11))",
        "insert into outbox_parked (relay, seq, key, attempts, next_attempt_at, last_error) \
        select $1, json_extract(u.value, '$.seq'), json_extract(u.value, '$.key'), json_extract(u.value, '$.attempts'), \
            {NOW} + json_extract(u.value, '$.due_ms') * 1000, json_extract(u.value, '$.error') \
        from json_each($12) u where not exists (select 1 from outbox_dead_letter d \
            join outbox_message m on m.seq = d.seq and m.id = d.id \
            where d.relay = $1 and d.seq = json_extract(u.value, '$.seq')) \
        on conflict do update set attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at, \
            last_error = case when outbox_parked.attempts = 0 or excluded.attempts = 0 then excluded.last_error \
                when excluded.attempts > outbox_parked.attempts or excluded.last_error is not \
                    substr(outbox_parked.last_error, 1, instr(outbox_parked.last_error || char(10), char(10)) - 1) \
                then substr(coalesce(excluded.last_error, '') || coalesce(char(10) || outbox_parked.last_error, ''), \
                    1, 4000) \
                else outbox_parked.last_error end",
        "insert into outbox_progress (relay, position, at) select $1, $9, $10 where $9 is not null on conflict do nothing",
    ],
    release: &[
        "update outbox_relay set owner = null, expires_at = null, suspect = null, outage = 0 where {OWN} returning 1",
        "insert into outbox_progress (relay, position, at) select $1, $4, $5 where $4 is not null on conflict do nothing",
    ],
    crashes: "select crashes, suspect from outbox_relay where {OWN}",
    note: "update outbox_relay set suspect = $4, outage = $5 where {OWN} returning 1",
    status: "select relay, owner is not null and expires_at > {NOW}, epoch, position, \
            coalesce((select s.seq from sqlite_sequence s where s.name = replace('outbox_message', '\"', '')), 0), \
            (select count(*) from outbox_parked p where p.relay = r.relay), \
            (select count(*) from outbox_dead_letter d where d.relay = r.relay), \
            (select count(*) from (select 1 from outbox_message m where m.seq > r.floor \
                and (m.seq > r.position or exists (select 1 from json_each(r.unsettled) u \
                    where m.seq between json_extract(u.value, '$[0]') and json_extract(u.value, '$[1]'))) \
                and (r.topics = '[]' or exists (select 1 from json_each(r.topics) t where t.value = m.topic \
                    or substr(t.value, -1) = '*' and substr(m.topic, 1, length(t.value) - 1) = rtrim(t.value, '*'))) \
                and {COVERED} limit $1)), \
            strftime('%Y-%m-%dT%H:%M:%fZ', settled_at / 1e6, 'unixepoch'), topics, replay \
        from outbox_relay r order by relay",
    reset: &[
        "update outbox_relay set token = null, epoch = epoch + 1, position = 0, floor = 0, unsettled = '[]', \
            crashes = 0, suspect = null where relay = $1 returning 1",
        "delete from outbox_parked where relay = $1",
        "delete from outbox_progress where relay = $1",
    ],
};
