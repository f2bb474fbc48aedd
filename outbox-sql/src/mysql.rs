//! The statements for MySQL, MariaDB and what speaks like them. Parameters become literals (`literal.rs`).
//!
//! Auto-increment values commit out of order and there is no snapshot to ask, so messages are deleted when they are
//! settled, and the lowest that are left are read: `queue` decides. Nothing here needs more than READ COMMITTED.

use crate::statements::Text;

pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/mysql/0001_initial.sql"),
    include_str!("../migrations/mysql/0002_kept_and_replayed.sql"),
    include_str!("../migrations/mysql/0003_scheduled_dedup_inbox.sql"),
    include_str!("../migrations/mysql/0004_desk_and_crashes.sql"),
];

/// Of the whole server; held until the connection ends.
pub(crate) const LOCK_MIGRATIONS: &str = "select get_lock('outbox migrations', 60)";

const NOW: &str = "cast(unix_timestamp(now(6)) * 1000000 as signed)";
const COLUMNS: &str = "seq, id, topic, `key`, event_type, payload, content_type, cast(headers as char) headers, \
    cast(unix_timestamp(created_at) * 1000000 as signed) created_at";
const OWN: &str = "relay = $1 and epoch = $2 and token = $3 and server = @@server_id";
/// A note where the lease is ours and this is the server that it was acquired on, nothing otherwise.
const HEADER: &str = "select 0 seq, null id, null topic, null `key`, null event_type, null payload, \
    null content_type, null headers, null created_at from outbox_relay where {OWN}";
/// A message as it is kept, without the relay.
const WHOLE: &str = "seq, id, topic, `key`, event_type, payload, content_type, headers, created_at";

/// What stands for what in the statements, in the order of replacement.
pub(crate) const PARTS: &[(&str, &str)] = &[
    ("{HEADER}", HEADER),
    ("{COLUMNS}", COLUMNS),
    ("{OWN}", OWN),
    ("{NOW}", NOW),
    ("{WHOLE}", WHOLE),
    ("{TABLE}", "substring_index(replace('outbox_message', '`', ''), '.', -1)"),
];

const SETUP: &str = "set session transaction isolation level read committed; \
    set time_zone = '+00:00', innodb_lock_wait_timeout = 5 /*!80000 , information_schema_stats_expiry = 0 */";

pub(crate) const STATEMENTS: Text = Text {
    setup_fetch: SETUP,
    setup_settle: SETUP,
    begin: "start transaction",
    durable: "",
    lazy: "",
    version: "select cast(max(version) as signed) from outbox_schema",
    ensure: "insert ignore into outbox_relay (relay) values ($1)",
    // The next number is one more than the last one drawn.
    sequence: "select cast(coalesce((select t.auto_increment from information_schema.tables t \
            where t.table_schema = {SCHEMA} and t.table_name = {TABLE}), 1) as signed) - 1, \
            coalesce((select r.position from outbox_relay r where r.relay = $1), 0)",
    acquire: "",
    standing: "select cast(greatest(0, coalesce(timestampdiff(microsecond, utc_timestamp(6), expires_at), 0)) div 1000 as signed), \
            cast(owner is null or owner = $2 or expires_at < utc_timestamp(6) as signed), \
            cast(owner is not null and owner <> $2 and not server <=> @@server_id as signed), lease \
        from outbox_relay where relay = $1",
    parked: "select seq, `key`, cast(attempts as signed), \
            cast(greatest(0, timestampdiff(microsecond, utc_timestamp(6), next_attempt_at)) div 1000 as signed), last_error \
        from outbox_parked where relay = $1 order by seq",
    scan: "",
    fetch: "",
    fetch_holes: "",
    fetch_ranges: "",
    writers: "",
    // A message that waits for another attempt is parked, or about to be.
    read: "{HEADER} union all select {COLUMNS} from outbox_parked where relay = $1 and seq in ($4) \
        union all select {COLUMNS} from outbox_message where seq in ($4)",
    settle: &[],
    settle_full: &[],
    release: &[
        "select 1 from outbox_relay where {OWN} for update",
        "update outbox_relay set owner = null, expires_at = null where {OWN}",
    ],
    crashes: "select cast(coalesce(n.crashes, 0) as signed), n.suspect from outbox_relay r \
        left join outbox_note n on n.relay = r.relay where r.relay = $1 and r.epoch = $2 and r.token = $3",
    note: "insert into outbox_note (relay, suspect, outage) values ($1, $4, $5) \
        on duplicate key update suspect = $4, outage = $5",
    status: "select r.relay, cast(r.owner is not null and r.expires_at > utc_timestamp(6) as signed), r.epoch, r.position, \
            cast(coalesce((select t.auto_increment from information_schema.tables t \
                where t.table_schema = {SCHEMA} and t.table_name = {TABLE}), 1) as signed) - 1, \
            (select count(*) from outbox_parked p where p.relay = r.relay), \
            (select count(*) from outbox_dead_letter d where d.relay = r.relay), \
            (select count(*) from (select m.topic from outbox_message m limit $1) m \
                where coalesce(json_length(r.topics), 0) = 0 or exists (select 1 from outbox_lock n \
                    where n.slot < json_length(r.topics) and m.topic like replace(replace(replace(replace(json_unquote( \
                        json_extract(r.topics, concat('$[', n.slot, ']'))), '!', '!!'), '%', '!%'), '_', '!_'), '*', \
                        '%') escape '!')), \
            date_format(r.settled_at, '%Y-%m-%dT%H:%i:%s.%fZ'), r.topics, null \
        from outbox_relay r order by r.relay",
    // What is parked left its table, so it goes back there, behind what waits.
    reset: &[
        "select 1 from outbox_relay where relay = $1 for update",
        "update outbox_relay set token = null, epoch = epoch + 1, position = 0 where relay = $1",
        "insert into outbox_message (id, topic, `key`, event_type, payload, content_type, headers, created_at) \
        select id, topic, `key`, event_type, payload, content_type, headers, created_at \
        from outbox_parked where relay = $1 order by seq",
        "delete from outbox_parked where relay = $1",
        "delete from outbox_note where relay = $1",
    ],
};

/// The statements that only a queue has. `S` is a statement.
#[derive(Debug, Clone)]
pub(crate) struct QueueStatements<S> {
    /// `$1` relay. Of every relay name: whether it is this one, next epoch, whether it may be acquired by `$2`, whether
    /// its lease holds, name, topics, position.
    pub(crate) look: S,
    /// `$1` relay, `$2` owner, `$3` token, `$4` lease in ms, `$5` topics as JSON.
    pub(crate) take: S,
    /// A script for `$1` relay, `$2` owner, before it is taken: whether the holder before crashed.
    pub(crate) count_crash: S,
    /// `$1` relay: something was settled; and the lease was given up.
    pub(crate) progress: S,
    pub(crate) given_up: S,
    /// `$1` relay, `$2` epoch, `$3` token: the header alone.
    pub(crate) header: S,
    /// And `$4` limit. `{WHERE}` says which numbers; one part for each region.
    pub(crate) part: S,
    /// The same for a region that is scanned.
    pub(crate) forgotten: S,
    /// `$1` relay, `$2` epoch, `$3` token. Gives a row, locked, where the lease is ours.
    pub(crate) own: S,
    /// And `$4` position, `$5` 1: it moved.
    pub(crate) renew: S,
    /// `{AMONG}` says which numbers, here and below; `$1` relay.
    pub(crate) keep: S,
    pub(crate) keep_parked: S,
    pub(crate) delete: S,
    pub(crate) delete_parked: S,
    /// `{ROWS}`: a derived table of seq, attempts, due_ms, error.
    pub(crate) park: S,
    pub(crate) park_errors: S,
    pub(crate) park_again: S,
    /// `{ROWS}`: a derived table of seq, reason, attempts.
    pub(crate) bury: S,
    pub(crate) bury_parked: S,
    /// `$1` limit, `$2` after. Gives the highest number of the oldest that are kept, or null, and how many these are.
    pub(crate) oldest: S,
    /// `$1` that number, `$2` microseconds to keep, `$3` limit, `$4` after.
    pub(crate) prune: S,
}

impl<S> QueueStatements<S> {
    pub(crate) fn map<T>(&self, f: impl Fn(&S) -> T) -> QueueStatements<T> {
        QueueStatements {
            look: f(&self.look),
            take: f(&self.take),
            count_crash: f(&self.count_crash),
            progress: f(&self.progress),
            given_up: f(&self.given_up),
            header: f(&self.header),
            part: f(&self.part),
            forgotten: f(&self.forgotten),
            own: f(&self.own),
            renew: f(&self.renew),
            keep: f(&self.keep),
            keep_parked: f(&self.keep_parked),
            delete: f(&self.delete),
            delete_parked: f(&self.delete_parked),
            park: f(&self.park),
            park_errors: f(&self.park_errors),
            park_again: f(&self.park_again),
            bury: f(&self.bury),
            bury_parked: f(&self.bury_parked),
            oldest: f(&self.oldest),
            prune: f(&self.prune),
        }
    }
}

pub(crate) const QUEUE: QueueStatements<&str> = QueueStatements {
    // All of them, so that two names that overlap are not acquired at the same time.
    look: "select cast(relay = $1 as signed), epoch + 1, \
            cast(owner is null or owner = $2 or expires_at < utc_timestamp(6) as signed), \
            cast(owner is not null and expires_at >= utc_timestamp(6) as signed), relay, topics, position \
        from outbox_relay order by relay for update",
    take: "update outbox_relay set owner = $2, epoch = epoch + 1, token = $3, server = @@server_id, lease = $4, \
            topics = $5, expires_at = timestampadd(microsecond, $4 * 1000, utc_timestamp(6)) where relay = $1",
    // In the order of an update of two tables nobody may trust, so what others need changes last.
    count_crash: "insert ignore into outbox_note (relay) values ($1); \
        update outbox_note n join outbox_relay r on r.relay = n.relay \
            set n.suspect = null where n.relay = $1 and (r.owner is null or r.owner = $2 or n.outage); \
        update outbox_note n join outbox_relay r on r.relay = n.relay \
            set n.crashes = n.crashes + 1 where n.relay = $1 and r.owner is not null and r.owner <> $2 and not n.outage; \
        update outbox_note set outage = false where relay = $1",
    progress: "update outbox_note set crashes = 0 where relay = $1 and crashes > 0",
    given_up: "update outbox_note set suspect = null, outage = false where relay = $1",
    header: "{HEADER}",
    part: "(select {COLUMNS} from outbox_message where {WHERE} order by seq limit $4)",
    // The numbers first: a scan would read the payloads also of what it only passes.
    forgotten: "(select straight_join {COLUMNS} from \
        (select seq from outbox_message where {WHERE} order by seq limit $4) k \
        join outbox_message using (seq) order by seq limit $4)",
    // Not one that has ended: another name, of the same topics, may be running by now.
    own: "select {NOW} from outbox_relay where {OWN} and expires_at >= utc_timestamp(6) for update",
    renew: "update outbox_relay set expires_at = timestampadd(microsecond, lease * 1000, utc_timestamp(6)), \
            position = greatest(position, $4), settled_at = case when $5 = 1 then utc_timestamp(6) else settled_at end \
        where {OWN}",
    keep: "insert into outbox_delivered (relay, {WHOLE}) \
        select $1, {WHOLE} from outbox_message where {AMONG} on duplicate key update seq = outbox_delivered.seq",
    keep_parked: "insert into outbox_delivered (relay, {WHOLE}) \
        select $1, {WHOLE} from outbox_parked where relay = $1 and ({AMONG}) \
        on duplicate key update seq = outbox_delivered.seq",
    // By the primary key, row by row: a scan, or a range, would wait for the writers of rows that it only passes. MySQL
    // (8.0.20) takes the hint, MariaDB its own comments and FORCE INDEX; neither takes the other's.
    delete: "delete /*+ INDEX(m `PRIMARY`) */ /*M! m */ from outbox_message m /*M! force index (primary) */ \
        where {AMONG}",
    delete_parked: "delete from outbox_parked where relay = $1 and ({AMONG})",
    park: "insert into outbox_parked (relay, {WHOLE}, attempts, next_attempt_at, last_error) \
        select $1, m.seq, m.id, m.topic, m.`key`, m.event_type, m.payload, m.content_type, m.headers, m.created_at, \
            u.attempts, timestampadd(microsecond, u.due_ms * 1000, utc_timestamp(6)), u.error \
        from {ROWS} u join outbox_message m on m.seq = u.seq",
    // In front of `park_again`: in which order an update of two tables assigns is not said.
    park_errors: "update outbox_parked p join {ROWS} u on p.seq = u.seq \
        set p.last_error = case when p.attempts = 0 or u.attempts = 0 then u.error \
            when u.attempts > p.attempts or not u.error <=> substring_index(p.last_error, char(10), 1) \
            then left(concat_ws(char(10), u.error, p.last_error), 4000) else p.last_error end \
        where p.relay = $1",
    park_again: "update outbox_parked p join {ROWS} u on p.seq = u.seq \
        set p.attempts = u.attempts, p.next_attempt_at = timestampadd(microsecond, u.due_ms * 1000, utc_timestamp(6)) \
        where p.relay = $1",
    bury: "insert into outbox_dead_letter (relay, {WHOLE}, reason, attempts) \
        select $1, m.seq, m.id, m.topic, m.`key`, m.event_type, m.payload, m.content_type, m.headers, m.created_at, \
            u.reason, u.attempts from {ROWS} u join outbox_message m on m.seq = u.seq \
        on duplicate key update seq = outbox_dead_letter.seq",
    bury_parked: "insert into outbox_dead_letter (relay, {WHOLE}, reason, attempts, history) \
        select $1, p.seq, p.id, p.topic, p.`key`, p.event_type, p.payload, p.content_type, p.headers, p.created_at, \
            u.reason, u.attempts, p.last_error from {ROWS} u join outbox_parked p on p.seq = u.seq and p.relay = $1 \
        on duplicate key update seq = outbox_dead_letter.seq",
    oldest: "select max(seq), count(*) from (\
        select seq from outbox_delivered where seq > $2 order by seq limit $1) d",
    prune: "delete from outbox_delivered where seq > $4 and seq <= $1 \
        and delivered_at <= timestampadd(microsecond, -$2, now(6)) order by seq limit $3",
};
