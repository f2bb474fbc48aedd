//! The statements of the desk. Of a list of statements the first one that returns a row tells how many messages it was.

use crate::sqlite::NOW;
use crate::statements::fill;
use crate::{Dialect, Names};

/// `S` is a statement, `L` a list of statements, run in one transaction.
#[derive(Debug, Clone)]
pub(super) struct Statements<S, L> {
    pub(super) setup: S,
    /// `$1` relay. Gives revision, 1 if paused, a key that is paused; a row at least.
    pub(super) orders: S,
    /// Holds retention back until the end of the transaction, where there is one that could meet a replay.
    pub(super) hold: Option<S>,
    /// `$1` relay: a row if somebody ran it, locked as settlements lock it: one of them waits for the other.
    pub(super) known: S,
    /// `$1` relay.
    pub(super) bump: S,
    /// `$1` relay.
    pub(super) pause: S,
    pub(super) resume: S,
    /// And `$2` key.
    pub(super) pause_key: S,
    pub(super) resume_key: S,
    /// Gives relay, key or null, time in microseconds.
    pub(super) paused: S,
    /// Relay and number of dead letters, without an end.
    pub(super) places: S,
    /// What a dead letter is read as, without an end.
    pub(super) dead: S,
    /// `$1` relay, `$2` after, `$3` limit.
    pub(super) waiting: S,
    /// `$1` relay, `$2` numbers, `$3` time to the first and `$4` between two, in microseconds.
    pub(super) replay: L,
    /// `$1` relay, `$2` numbers.
    pub(super) discard: L,
    /// `$1` relay, `$2` key or null.
    pub(super) retry: L,
    /// `$1` relay, `$2` id in hexadecimal.
    pub(super) give_up: L,
}

type Text = Statements<&'static str, &'static [&'static str]>;
pub(super) type Sql = Statements<String, Vec<String>>;

impl Sql {
    pub(super) fn new(dialect: Dialect, names: &Names) -> Self {
        let (text, parts): (&Text, &[(&str, &str)]) = match dialect {
            Dialect::Postgres => (&POSTGRES, &[("{WHOLE}", WHOLE)]),
            Dialect::Mysql => (&MYSQL, &[("{WHOLE}", MYSQL_WHOLE)]),
            Dialect::Sqlite => (&SQLITE, &[("{NAMED}", SQLITE_NAMED), ("{WHOLE}", WHOLE), ("{NOW}", NOW)]),
        };
        let fill = |sql: &str| fill(sql, parts, dialect, names);
        let list = |sqls: &[&str]| sqls.iter().map(|sql| fill(sql)).collect::<Vec<_>>();
        Self {
            setup: fill(text.setup),
            orders: fill(text.orders),
            hold: text.hold.map(fill),
            known: fill(text.known),
            bump: fill(text.bump),
            pause: fill(text.pause),
            resume: fill(text.resume),
            pause_key: fill(text.pause_key),
            resume_key: fill(text.resume_key),
            paused: fill(text.paused),
            places: fill(text.places),
            dead: fill(text.dead),
            waiting: fill(text.waiting),
            replay: list(text.replay),
            discard: list(text.discard),
            retry: list(text.retry),
            give_up: list(text.give_up),
        }
    }
}

/// A message as it is kept.
const WHOLE: &str = "seq, id, topic, key, event_type, payload, content_type, headers, created_at";
const MYSQL_WHOLE: &str = "seq, id, topic, `key`, event_type, payload, content_type, headers, created_at";
/// Dead letters that can be put back: their number is not that of another message.
const SQLITE_NAMED: &str = "d.relay = $1 and d.seq in (select value from json_each($2)) \
    and not exists (select 1 from outbox_message m where m.seq = d.seq and m.id <> d.id)";

const PLACES: &str = "select d.relay, d.seq from outbox_dead_letter d";
const BUMP: &str = "insert into outbox_control as c (relay, revision) values ($1, 1) \
    on conflict (relay) do update set revision = c.revision + 1";
const RESUME: &str = "update outbox_control set paused_at = null where relay = $1";
const PAUSE_KEY: &str = "insert into outbox_paused_key (relay, key) values ($1, $2) on conflict do nothing";
const RESUME_KEY: &str = "delete from outbox_paused_key where relay = $1 and key = $2";

const POSTGRES: Text = Statements {
    setup: "set synchronous_commit = on; set default_transaction_isolation = 'read committed'",
    orders: "select coalesce(c.revision, 0), (c.paused_at is not null)::int::int8, k.key from (select 1) one \
        left join outbox_control c on c.relay = $1 left join outbox_paused_key k on k.relay = $1",
    hold: Some("select after from outbox_retention for update"),
    known: "select 1::int8 from outbox_relay where relay = $1 for update",
    bump: BUMP,
    pause: "update outbox_control set paused_at = coalesce(paused_at, now()) where relay = $1",
    resume: RESUME,
    pause_key: PAUSE_KEY,
    resume_key: RESUME_KEY,
    paused: "select relay, key, (extract(epoch from paused_at) * 1000000)::int8 from (\
            select relay, null key, paused_at from outbox_control where paused_at is not null \
            union all select relay, key, paused_at from outbox_paused_key) p order by relay, key nulls first",
    places: PLACES,
    dead: "select d.relay, d.seq, replace(d.id::text, '-', ''), d.topic, d.key, d.event_type, \
            encode(d.payload, 'hex'), d.content_type, d.headers::text, \
            (extract(epoch from d.created_at) * 1000000)::int8, d.reason, d.attempts::int8, d.history, \
            (extract(epoch from d.died_at) * 1000000)::int8 from outbox_dead_letter d",
    waiting: "select p.seq, replace(m.id::text, '-', ''), m.topic, m.key, m.event_type, p.attempts::int8, p.last_error, \
            greatest(0, extract(epoch from p.next_attempt_at - now()) * 1000)::int8 \
        from outbox_parked p join outbox_message m on m.seq = p.seq \
        where p.relay = $1 and p.seq > $2 order by p.seq limit $3",
    // What retention has deleted gets its old number back, as old as can be: who has passed that number has settled it.
    // While retention is held back, or it would delete what is parked in this transaction.
    replay: &["with gone as (delete from outbox_dead_letter d where d.relay = $1 and d.seq = any($2::int8[]) \
            and not exists (select from outbox_message m where m.seq = d.seq and m.id <> d.id) returning d.*), \
        back as (insert into outbox_message ({WHOLE}, xid) overriding system value \
            select {WHOLE}, '3'::xid8 from gone on conflict (seq) do nothing), \
        park as (insert into outbox_parked (relay, seq, key, attempts, next_attempt_at) \
            select relay, seq, key, 0, \
                now() + ($3::int8 + (row_number() over (order by seq) - 1) * $4::int8) * interval '1 us' from gone \
            on conflict do nothing) \
        select count(*) from gone"],
    // Until the cursor itself says that it is settled, only the dead letter does.
    discard: &["with gone as (delete from outbox_dead_letter d where d.relay = $1 and d.seq = any($2::int8[]) \
            and not exists (select from outbox_message m join outbox_relay r on r.relay = d.relay \
                where m.seq = d.seq and m.id = d.id and m.seq > r.floor) \
            returning 1) \
        select count(*) from gone"],
    retry: &["with again as (update outbox_parked set attempts = 0, next_attempt_at = now(), last_error = null \
            where relay = $1 and ($2::text is null or key = $2::text) returning 1) \
        select count(*) from again"],
    give_up: &["with gone as (delete from outbox_parked p using outbox_message m \
            where p.relay = $1 and m.seq = p.seq and m.id = $2::text::uuid \
            returning p.relay, p.seq, p.attempts, p.last_error), \
        dead as (insert into outbox_dead_letter (relay, {WHOLE}, reason, attempts, history) \
            select relay, m.*, coalesce(split_part(last_error, chr(10), 1), 'given up by hand'), attempts, last_error \
            from gone, lateral (select {WHOLE} from outbox_message m where m.seq = gone.seq) m on conflict do nothing) \
        select count(*) from gone"],
};

const SQLITE: Text = Statements {
    setup: "pragma journal_mode = wal; pragma busy_timeout = 5000; pragma synchronous = full",
    orders: "select coalesce(c.revision, 0), c.paused_at is not null, k.key from (select 1) one \
        left join outbox_control c on c.relay = $1 left join outbox_paused_key k on k.relay = $1",
    hold: None,
    known: "select 1 from outbox_relay where relay = $1",
    bump: BUMP,
    pause: "update outbox_control set paused_at = coalesce(paused_at, {NOW}) where relay = $1",
    resume: RESUME,
    pause_key: PAUSE_KEY,
    resume_key: RESUME_KEY,
    paused: "select relay, key, paused_at from (\
            select relay, null key, paused_at from outbox_control where paused_at is not null \
            union all select relay, key, paused_at from outbox_paused_key) p order by relay, key",
    places: PLACES,
    // SQLite checks no types.
    dead: "select d.relay, d.seq, lower(hex(d.id)), cast(d.topic as text), cast(d.key as text), \
            cast(d.event_type as text), hex(d.payload), cast(d.content_type as text), cast(d.headers as text), \
            cast(d.created_at as integer), cast(d.reason as text), d.attempts, cast(d.history as text), d.died_at \
            from outbox_dead_letter d",
    waiting: "select p.seq, lower(hex(m.id)), cast(m.topic as text), cast(m.key as text), cast(m.event_type as text), \
            p.attempts, cast(p.last_error as text), \
            max(0, (p.next_attempt_at - {NOW}) / 1000) \
        from outbox_parked p join outbox_message m on m.seq = p.seq \
        where p.relay = $1 and p.seq > $2 order by p.seq limit $3",
    replay: &[
        "insert into outbox_message ({WHOLE}) select {WHOLE} from outbox_dead_letter d where {NAMED} \
            on conflict (seq) do nothing",
        "insert into outbox_parked (relay, seq, key, attempts, next_attempt_at) \
            select relay, seq, key, 0, {NOW} + $3 + (row_number() over (order by seq) - 1) * $4 \
            from outbox_dead_letter d where {NAMED} on conflict do nothing",
        "delete from outbox_dead_letter as d where {NAMED}",
        "select changes()",
    ],
    discard: &[
        "delete from outbox_dead_letter as d where d.relay = $1 and d.seq in (select value from json_each($2)) \
            and not exists (select 1 from outbox_message m join outbox_relay r on r.relay = d.relay \
                where m.seq = d.seq and m.id = d.id and m.seq > r.floor)",
        "select changes()",
    ],
    retry: &[
        "update outbox_parked set attempts = 0, next_attempt_at = {NOW}, last_error = null \
            where relay = $1 and ($2 is null or key = $2)",
        "select changes()",
    ],
    give_up: &[
        "insert into outbox_dead_letter (relay, {WHOLE}, reason, attempts, history) \
            select p.relay, m.seq, m.id, m.topic, m.key, m.event_type, m.payload, m.content_type, m.headers, \
                m.created_at, coalesce(substr(p.last_error, 1, instr(p.last_error || char(10), char(10)) - 1), \
                'given up by hand'), p.attempts, p.last_error \
            from outbox_parked p join outbox_message m on m.seq = p.seq \
            where p.relay = $1 and m.id = unhex($2) on conflict do nothing",
        "delete from outbox_parked where relay = $1 and seq in (select m.seq from outbox_message m \
            join outbox_parked p on p.seq = m.seq where p.relay = $1 and m.id = unhex($2))",
        "select changes()",
    ],
};

const MYSQL: Text = Statements {
    setup: "set session transaction isolation level read committed; \
        set time_zone = '+00:00', innodb_lock_wait_timeout = 5",
    orders: "select coalesce(c.revision, 0), cast(c.paused_at is not null as signed), k.`key` from (select 1) one \
        left join outbox_control c on c.relay = $1 left join outbox_paused_key k on k.relay = $1",
    hold: None,
    known: "select 1 from outbox_relay where relay = $1 for update",
    bump: "insert into outbox_control (relay, revision) values ($1, 1) on duplicate key update revision = revision + 1",
    pause: "update outbox_control set paused_at = coalesce(paused_at, utc_timestamp(6)) where relay = $1",
    resume: RESUME,
    pause_key: "insert ignore into outbox_paused_key (relay, hash, `key`, paused_at) \
        values ($1, unhex(sha2($2, 256)), $2, utc_timestamp(6))",
    resume_key: "delete from outbox_paused_key where relay = $1 and hash = unhex(sha2($2, 256))",
    paused: "select relay, `key`, timestampdiff(microsecond, '1970-01-01', paused_at) from (\
            select relay, null as `key`, paused_at from outbox_control where paused_at is not null \
            union all select relay, `key`, paused_at from outbox_paused_key) p order by relay, `key`",
    places: PLACES,
    dead: "select d.relay, d.seq, lower(hex(d.id)), d.topic, d.`key`, d.event_type, hex(d.payload), d.content_type, \
            d.headers, cast(unix_timestamp(d.created_at) * 1000000 as signed), d.reason, cast(d.attempts as signed), \
            d.history, cast(unix_timestamp(d.died_at) * 1000000 as signed) from outbox_dead_letter d",
    waiting: "select seq, lower(hex(id)), topic, `key`, event_type, cast(attempts as signed), last_error, \
            cast(greatest(0, timestampdiff(microsecond, utc_timestamp(6), next_attempt_at)) div 1000 as signed) \
        from outbox_parked where relay = $1 and seq > $2 order by seq limit $3",
    // The count is asked for before: what row_count() says is gone by the time of the next statement.
    replay: &[
        "insert ignore into outbox_parked (relay, {WHOLE}, attempts, next_attempt_at) select relay, {WHOLE}, 0, \
            timestampadd(microsecond, $3 + (row_number() over (order by seq) - 1) * $4, utc_timestamp(6)) \
            from outbox_dead_letter where relay = $1 and seq in ($2)",
        "select count(*) from outbox_dead_letter d join outbox_parked p \
            on p.relay = d.relay and p.seq = d.seq and p.id = d.id where d.relay = $1 and d.seq in ($2)",
        "delete d from outbox_dead_letter d join outbox_parked p \
            on p.relay = d.relay and p.seq = d.seq and p.id = d.id where d.relay = $1 and d.seq in ($2)",
    ],
    discard: &[
        "select count(*) from outbox_dead_letter where relay = $1 and seq in ($2) for update",
        "delete from outbox_dead_letter where relay = $1 and seq in ($2)",
    ],
    retry: &[
        "select count(*) from outbox_parked where relay = $1 and ($2 is null or `key` like $2 escape '!')",
        "update outbox_parked set attempts = 0, next_attempt_at = utc_timestamp(6), last_error = null \
            where relay = $1 and ($2 is null or `key` like $2 escape '!')",
    ],
    give_up: &[
        "insert ignore into outbox_dead_letter (relay, {WHOLE}, reason, attempts, history) \
            select relay, {WHOLE}, coalesce(substring_index(last_error, char(10), 1), 'given up by hand'), attempts, \
                last_error \
            from outbox_parked where relay = $1 and id = unhex($2)",
        "select count(*) from outbox_parked where relay = $1 and id = unhex($2)",
        "delete from outbox_parked where relay = $1 and id = unhex($2)",
    ],
};
