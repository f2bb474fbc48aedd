//! The statements for Postgres. What each was seen to do, and which rule would lose or invert messages without it,
//! stands in ARCHITECTURE.md.

use crate::replay::POSTGRES_COVERED;
use crate::statements::Text;

pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/postgres/0001_initial.sql"),
    include_str!("../migrations/postgres/0002_retention_and_replay.sql"),
    include_str!("../migrations/postgres/0003_scheduled_dedup_inbox.sql"),
    include_str!("../migrations/postgres/0004_desk_and_crashes.sql"),
];

pub(crate) const LOCK_MIGRATIONS: &str = "select pg_advisory_xact_lock(hashtextextended('outbox migrations', 0))::text";

/// An incarnation that is ours, of this server start and this very table: a crash empties the table, a dump carries
/// its rows along.
const VALID: &str = "i.server = pg_postmaster_start_time() and i.tab = 'outbox_incarnation'::regclass::oid";

const COLUMNS: &str = "seq, id, topic, key, event_type, payload, content_type, headers::text, created_at";

/// The snapshot of the statement and the next transaction id, where epoch and token are ours; nothing otherwise.
const HEADER: &str = "select age('3'::xid)::int8 seq, null::uuid id, pg_current_snapshot()::text topic, \
    null::text \"key\", null::text event_type, null::bytea payload, null::text content_type, null::text headers, \
    null::timestamptz created_at from outbox_relay r join outbox_incarnation i on i.relay = r.relay \
    where r.relay = $1 and r.epoch = $2 and i.token = $3 and {VALID}";

/// What stands for what in the statements, in the order of replacement.
pub(crate) const PARTS: &[(&str, &str)] =
    &[("{HEADER}", HEADER), ("{COLUMNS}", COLUMNS), ("{VALID}", VALID), ("{COVERED}", POSTGRES_COVERED)];

pub(crate) const STATEMENTS: Text = Text {
    // A plan cached while the table was small or empty would scan and sort after it has grown.
    setup_fetch: "set jit = off; set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off; \
        set plan_cache_mode = force_generic_plan; set default_transaction_isolation = 'read committed'",
    setup_settle: "set plan_cache_mode = force_generic_plan; set default_transaction_isolation = 'read committed'; \
        set synchronous_commit = off",
    begin: "begin",
    durable: "set synchronous_commit = on",
    lazy: "set synchronous_commit = off",
    version: "select max(version)::int8 from outbox_schema",
    ensure: "insert into outbox_relay (relay, position, snapshot) \
        select $1, case when $2 = 1 then coalesce((select max(seq) from outbox_message), 0) else 0 end, \
               case when $2 = 1 then pg_current_snapshot() end \
        where not exists (select from outbox_relay where relay = $1) on conflict do nothing",
    sequence: "select case when s.is_called then s.last_value else 0 end, r.position, \
               pg_relation_filenode('outbox_message_seq_seq')::int8, i.filenode::int8 \
        from outbox_message_seq_seq s left join outbox_relay r on r.relay = $1 \
        left join outbox_incarnation i on i.relay = r.relay and {VALID}",
    acquire: "with own as (update outbox_relay r set owner = $2, epoch = epoch + 1, lease = $4 * interval '1 ms', \
            expires_at = now() + $4 * interval '1 ms', \
            topics = array(select jsonb_array_elements_text($5::text::jsonb)), \
            crashes = crashes + (owner is not null and owner <> $2 and not outage)::int, \
            suspect = case when owner is not null and owner <> $2 and not outage then suspect end, outage = false \
            where relay = $1 and (owner is null or owner = $2 or expires_at < now()) \
              and (epoch = 0 or $6 = 1 or exists (select from outbox_incarnation i where i.relay = r.relay and {VALID})) \
            returning relay, epoch, position, floor, snapshot, unsettled, replay), \
        tok as (insert into outbox_incarnation (relay, token, server, tab, filenode) \
            select relay, $3, pg_postmaster_start_time(), 'outbox_incarnation'::regclass::oid, \
                   pg_relation_filenode('outbox_message_seq_seq') from own \
            on conflict (relay) do update set token = excluded.token, server = excluded.server, tab = excluded.tab, \
                filenode = excluded.filenode) \
        select epoch, position, floor, snapshot::text, unsettled::text, replay::text from own",
    standing: "select greatest(0, extract(epoch from expires_at - now()) * 1000)::int8, epoch, \
               exists (select from outbox_incarnation i where i.relay = r.relay and {VALID})::int::int8, \
               (extract(epoch from lease) * 1000)::int8, pg_postmaster_start_time()::text \
        from outbox_relay r where relay = $1",
    parked: "select seq, key, attempts::int8, greatest(0, extract(epoch from next_attempt_at - now()) * 1000)::int8, \
               last_error \
        from outbox_parked where relay = $1 order by seq",
    // Everything that is not settled in one statement: in pieces, a key could be inverted behind a dead letter.
    // What is given is parsed once: for each row, thousands of ranges would take minutes. `offset 0` keeps them out of
    // the window, which would hold a copy for each row.
    scan: "with given as materialized (select $6::text::pg_snapshot seen, $7::text::int8multirange unsettled), \
        z as (select m.seq, lag(m.seq, 1, $4::int8) over (order by m.seq) prev, id, topic, key, event_type, \
                   case when todo then payload end payload, content_type, headers::text headers, created_at, todo \
            from given cross join outbox_message m cross join lateral (select (seen is null \
                   or not pg_visible_in_snapshot(m.xid, seen) or unsettled @> m.seq) \
                   and not exists (select from outbox_parked p where p.relay = $1 and p.seq = m.seq) \
                   and not exists (select from outbox_dead_letter d \
                                   where d.relay = $1 and d.seq = m.seq and d.id = m.id) todo offset 0) t \
            where m.seq > $4 and m.seq <= $5) \
        {HEADER} \
        union all select prev + 1, null, null, (seq - 1)::text, null, null, null, null, null from z where prev < seq - 1 \
        union all select coalesce(max(seq), $4) + 1, null, null, $5::text, null, null, null, null, null from z \
            having coalesce(max(seq), $4) < $5 \
        union all select seq, id, topic, key, event_type, payload, content_type, headers, created_at from z where todo",
    fetch: "{HEADER} union all (select {COLUMNS} from outbox_message where seq > $4 order by seq limit $5)",
    fetch_holes: "{HEADER} union all select * from (\
        (select {COLUMNS} from outbox_message where seq = any($6::int8[]) order by seq limit $5) \
        union all (select {COLUMNS} from outbox_message where seq > $4 order by seq limit $5) limit $5) u",
    fetch_ranges: "{HEADER} union all select * from (\
        (select m.* from unnest($6::int8[], $7::int8[]) r(lo, hi) cross join lateral \
            (select {COLUMNS} from outbox_message where seq >= r.lo and seq <= r.hi order by seq limit $5) m) \
        union all (select {COLUMNS} from outbox_message where seq > $4 order by seq limit $5) limit $5) u",
    // In a statement of its own: the list of locks is read after the snapshot of its statement.
    writers: "select age('3'::xid)::int8, pg_current_snapshot()::text, (select max(a)::int8 from (\
        select max(age(transactionid)) a, bool_or(locktype = 'relation') w from pg_locks where granted and \
            (locktype = 'transactionid' and mode = 'ExclusiveLock' or locktype = 'relation' \
             and relation = 'outbox_message'::regclass and mode = 'RowExclusiveLock' \
             and database = (select oid from pg_database where datname = current_database())) \
        group by virtualtransaction) l where w)",
    read: "{HEADER} union all select * from (select {COLUMNS} from outbox_message \
        where seq = any($4::int8[]) order by seq) u",
    settle: &["update outbox_relay r set position = $4, floor = $5, snapshot = $6::text::pg_snapshot, \
            unsettled = $7::text::int8multirange, expires_at = now() + lease, \
            settled_at = case when $8 = 1 then now() else settled_at end, \
            crashes = case when $8 = 1 then 0 else crashes end \
        where r.relay = $1 and r.epoch = $2 and exists (select from outbox_incarnation i \
            where i.relay = $1 and i.token = $3 and {VALID}) \
        returning (extract(epoch from now()) * 1000000)::int8"],
    settle_full: &["with own as (update outbox_relay r set position = $4, floor = $5, \
            snapshot = $6::text::pg_snapshot, unsettled = $7::text::int8multirange, expires_at = now() + lease, \
            settled_at = case when $8 = 1 then now() else settled_at end, \
            crashes = case when $8 = 1 then 0 else crashes end \
            where r.relay = $1 and r.epoch = $2 and exists (select from outbox_incarnation i \
                where i.relay = $1 and i.token = $3 and {VALID}) \
            returning r.relay), \
        done as (delete from outbox_parked p using own where p.relay = own.relay and p.seq = any($11::int8[])), \
        park as (insert into outbox_parked (relay, seq, key, attempts, next_attempt_at, last_error) \
            select own.relay, u.seq, u.key, u.attempts, now() + u.due_ms * interval '1 ms', u.error from own, \
                jsonb_to_recordset($12::text::jsonb) u(seq int8, key text, attempts int, due_ms int8, error text) \
            where not exists (select from outbox_dead_letter d join outbox_message m on m.seq = d.seq and m.id = d.id \
                where d.relay = own.relay and d.seq = u.seq) \
            on conflict (relay, seq) do update set attempts = excluded.attempts, \
                next_attempt_at = excluded.next_attempt_at, \
                last_error = case when outbox_parked.attempts = 0 or excluded.attempts = 0 then excluded.last_error \
                    when excluded.attempts > outbox_parked.attempts or excluded.last_error \
                        is distinct from split_part(outbox_parked.last_error, chr(10), 1) \
                    then left(concat_ws(chr(10), excluded.last_error, outbox_parked.last_error), 4000) \
                    else outbox_parked.last_error end), \
        dead as (insert into outbox_dead_letter (relay, seq, id, topic, key, event_type, payload, content_type, \
                headers, created_at, reason, attempts, history) \
            select own.relay, m.seq, m.id, m.topic, m.key, m.event_type, m.payload, m.content_type, m.headers, \
                m.created_at, d.reason, d.attempts, \
                (select p.last_error from outbox_parked p where p.relay = own.relay and p.seq = m.seq) \
            from own cross join jsonb_to_recordset($13::text::jsonb) d(seq int8, reason text, attempts int) \
            join outbox_message m on m.seq = d.seq on conflict (relay, seq, id) do nothing), \
        prog as (insert into outbox_progress (relay, position, at) \
            select own.relay, $9, timestamptz 'epoch' + $10 * interval '1 us' from own \
            where $9::int8 is not null on conflict do nothing) \
        select (extract(epoch from now()) * 1000000)::int8 from own"],
    release: &["with own as (update outbox_relay r set owner = null, expires_at = null, suspect = null, \
                outage = false \
            where r.relay = $1 and r.epoch = $2 and exists (select from outbox_incarnation i \
                where i.relay = $1 and i.token = $3 and {VALID}) \
            returning r.relay), \
        prog as (insert into outbox_progress (relay, position, at) \
            select own.relay, $4, timestamptz 'epoch' + $5 * interval '1 us' from own \
            where $4::int8 is not null on conflict do nothing) \
        select 1::int8 from own"],
    crashes: "select crashes::int8, suspect from outbox_relay r where relay = $1 and epoch = $2 \
        and exists (select from outbox_incarnation i where i.relay = $1 and i.token = $3 and {VALID})",
    note: "update outbox_relay r set suspect = $4::int8, outage = $5::int8 = 1 where relay = $1 and epoch = $2 \
        and exists (select from outbox_incarnation i where i.relay = $1 and i.token = $3 and {VALID}) \
        returning 1::int8",
    status: "select relay, (owner is not null and expires_at > now())::int::int8, epoch, position, \
            (select case when s.is_called then s.last_value else 0 end from outbox_message_seq_seq s), \
            (select count(*) from outbox_parked p where p.relay = r.relay), \
            (select count(*) from outbox_dead_letter d where d.relay = r.relay), \
            (select count(*) from (select from outbox_message m where m.seq > r.floor \
                and not (m.seq <= r.position and r.snapshot is not null \
                         and pg_visible_in_snapshot(m.xid, r.snapshot) and not r.unsettled @> m.seq) \
                and (r.topics = '{}' or exists (select from unnest(r.topics) t where t = m.topic \
                     or right(t, 1) = '*' and starts_with(m.topic, left(t, -1)))) and {COVERED} limit $1) w), \
            to_char(settled_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
            to_json(r.topics)::text, r.replay::text \
        from outbox_relay r order by relay",
    // A holder is fenced off by the epoch at once; its lease runs on, because it may still hand out what it has.
    // Locked in a statement of its own: what a settlement parked until then is seen by the next one.
    reset: &[
        "select 1::int8 from outbox_relay where relay = $1 for update",
        "with own as (update outbox_relay set epoch = epoch + 1, position = 0, \
            floor = 0, snapshot = null, unsettled = '{}', crashes = 0, suspect = null \
            where relay = $1 returning relay), \
        parked as (delete from outbox_parked p using own where p.relay = own.relay), \
        progress as (delete from outbox_progress p using own where p.relay = own.relay), \
        tok as (update outbox_incarnation i set token = gen_random_uuid(), \
            filenode = pg_relation_filenode('outbox_message_seq_seq') from own where i.relay = own.relay) \
        select 1::int8 from own",
    ],
};
