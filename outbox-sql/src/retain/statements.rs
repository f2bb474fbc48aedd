use outbox_core::{StoreError, StoreErrorKind};

use crate::sqlite::NOW;
use crate::{Dialect, Names};

/// The statements of retention.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(super) setup: String,
    /// Begins a transaction that writes.
    pub(super) begin: &'static str,
    /// Waits for whoever deletes, and keeps others from it until the end of the transaction.
    pub(super) lock: String,
    /// Gives: where the last batch ended, 1 for a new beginning, ms until the next batch.
    pub(super) look: String,
    /// `$1` after, `$2` limit, `$3` microseconds to keep. Gives: last number of the window or null, how many messages,
    /// how many of them are old enough, 1 where the last one is.
    pub(super) window: String,
    /// `$1` after. Gives a row where nobody else has deleted since the look, and locks it.
    pub(super) claim: String,
    /// `$1` after, `$2` last, `$3` microseconds to keep. The last of them gives how many.
    pub(super) delete: Vec<String>,
    /// `$1` after, `$2` last.
    pub(super) prune: String,
    /// `$1` after, `$2` microseconds of rest, `$3` 1: a new beginning.
    pub(super) store: String,
    /// `$1` how many messages may lie behind. Gives: relay name, how many lie behind.
    pub(super) pins: String,
}

/// As it stands in the code, in the same order.
struct Text {
    setup: &'static str,
    begin: &'static str,
    lock: &'static str,
    look: &'static str,
    window: &'static str,
    claim: &'static str,
    delete: &'static [&'static str],
    prune: &'static str,
    store: &'static str,
    pins: &'static str,
}

impl Sql {
    /// # Errors
    /// `Config` where this database is no log.
    pub(crate) fn new(dialect: Dialect, names: &Names) -> Result<Self, StoreError> {
        let text = match dialect {
            Dialect::Postgres => &POSTGRES,
            Dialect::Sqlite => &SQLITE,
            Dialect::Mysql => {
                return Err(StoreError::new(StoreErrorKind::Config, "retain").with_detail(
                    "on this database a message is deleted when it is settled: there is nothing to be kept",
                ));
            }
        };
        let fill = |sql: &str| names.render(&sql.replace("{NOW}", NOW));
        Ok(Self {
            setup: fill(text.setup),
            begin: text.begin,
            lock: fill(text.lock),
            look: fill(text.look),
            window: fill(text.window),
            claim: fill(text.claim),
            delete: text.delete.iter().map(|sql| fill(sql)).collect(),
            prune: fill(text.prune),
            store: fill(text.store),
            pins: fill(text.pins),
        })
    }
}

const POSTGRES: Text = Text {
    // The one plan that stays good however the table grows: the primary key.
    setup: "set jit = off; set enable_seqscan = off; set enable_bitmapscan = off; \
        set plan_cache_mode = force_generic_plan; set default_transaction_isolation = 'read committed'; \
        set synchronous_commit = off",
    begin: "begin",
    lock: "select after from outbox_retention for update",
    look: "select after, (restarted_at <= now() - interval '1 hour')::int::int8, \
            greatest(0, extract(epoch from next_at - now()) * 1000)::int8 \
        from outbox_retention",
    // Above the lowest position nothing is settled by all; a replay that ends lets go of what lies behind its end.
    window: "select max(seq), count(*), count(*) filter (where old), (array_agg(old order by seq desc))[1]::int::int8 \
        from (select seq, created_at <= now() - $3::int8 * interval '1 us' old from outbox_message \
            where seq > $1::int8 and seq <= coalesce( \
                (select min(position) from outbox_relay where replay->>'until' is null), \
                (select 9223372036854775807 from outbox_relay limit 1)) \
            order by seq limit $2::int8) w",
    claim: "select 1::int8 from outbox_retention where after = $1::int8 and next_at <= now() for update skip locked",
    delete: &["with gone as (delete from outbox_message m where m.seq > $1::int8 and m.seq <= $2::int8 \
            and m.created_at <= now() - $3::int8 * interval '1 us' and exists (select from outbox_relay) \
            and not exists (select from outbox_relay r where not (m.seq <= r.floor \
                    or m.seq <= r.position and r.snapshot is not null and pg_visible_in_snapshot(m.xid, r.snapshot) \
                        and not r.unsettled @> m.seq \
                    or coalesce(m.seq > (r.replay->>'until')::int8, false)) \
                or exists (select from outbox_parked p where p.relay = r.relay and p.seq = m.seq)) \
            returning 1) \
        select count(*) from gone"],
    prune: "with gone as (delete from outbox_progress p using outbox_relay r \
            where p.relay = r.relay and p.position > $1::int8 and p.position <= $2::int8 \
            and exists (select from outbox_progress n where n.relay = p.relay and n.position > p.position) \
            and not exists (select from outbox_message m where m.seq <= p.position and m.seq > coalesce((select \
                max(q.position) from outbox_progress q where q.relay = p.relay and q.position < p.position), 0)) \
            returning 1) \
        select count(*) from gone",
    store: "update outbox_retention set after = $1::int8, next_at = clock_timestamp() + $2::int8 * interval '1 us', \
            restarted_at = case when $3::int8 = 1 then now() else restarted_at end",
    pins: "select r.relay, least(l.last, (r.replay->>'until')::int8) - r.floor from outbox_relay r, \
            (select case when is_called then last_value else 0 end last from outbox_message_seq_seq) l \
        where (r.owner is null or r.expires_at <= now()) \
            and least(l.last, (r.replay->>'until')::int8) - r.floor > $1::int8 order by r.relay",
};

const SQLITE: Text = Text {
    setup: "pragma journal_mode = wal; pragma busy_timeout = 5000; pragma synchronous = normal",
    begin: "begin immediate",
    lock: "select after from outbox_retention",
    look: "select after, restarted_at <= {NOW} - 3600000000, max(0, next_at - {NOW}) / 1000 from outbox_retention",
    // "old" is that of the row with the highest number.
    window: "select max(seq), count(*), coalesce(sum(old), 0), old \
        from (select seq, created_at <= {NOW} - $3 old from outbox_message \
            where seq > $1 and seq <= coalesce( \
                (select min(position) from outbox_relay where json_extract(replay, '$.until') is null), \
                (select 9223372036854775807 from outbox_relay limit 1)) \
            order by seq limit $2) w",
    claim: "select 1 from outbox_retention where after = $1 and next_at <= {NOW}",
    delete: &[
        "delete from outbox_message as m where m.seq > $1 and m.seq <= $2 and m.created_at <= {NOW} - $3 \
            and exists (select 1 from outbox_relay) \
            and not exists (select 1 from outbox_relay r where not (m.seq <= r.floor \
                    or m.seq <= r.position and not exists (select 1 from json_each(r.unsettled) u \
                        where m.seq between json_extract(u.value, '$[0]') and json_extract(u.value, '$[1]')) \
                    or coalesce(m.seq > json_extract(r.replay, '$.until'), 0)) \
                or exists (select 1 from outbox_parked p where p.relay = r.relay and p.seq = m.seq))",
        "select changes()",
    ],
    prune: "delete from outbox_progress as p where p.relay in (select relay from outbox_relay) and p.position > $1 and p.position <= $2 \
        and exists (select 1 from outbox_progress n where n.relay = p.relay and n.position > p.position) \
        and not exists (select 1 from outbox_message m where m.seq <= p.position and m.seq > coalesce((select \
            max(q.position) from outbox_progress q where q.relay = p.relay and q.position < p.position), 0))",
    store: "update outbox_retention set after = $1, next_at = {NOW} + $2, \
        restarted_at = case when $3 = 1 then {NOW} else restarted_at end",
    pins: "select relay, min(last, coalesce(json_extract(replay, '$.until'), last)) - floor from (select r.*, \
            coalesce((select s.seq from sqlite_sequence s where s.name = replace('outbox_message', '\"', '')), 0) last \
            from outbox_relay r) \
        where (owner is null or expires_at <= {NOW}) \
            and min(last, coalesce(json_extract(replay, '$.until'), last)) - floor > $1 order by relay",
};
