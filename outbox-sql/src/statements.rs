//! One list of statements for every database: the engine asks by purpose, with the same parameters everywhere.

use crate::{Dialect, Names, mysql, postgres, sqlite};

/// `S` is a statement, `L` a list of statements.
#[derive(Debug, Clone)]
pub(crate) struct Statements<S, L> {
    /// Session settings of the connection that fetches, and of the one that settles.
    pub(crate) setup_fetch: S,
    pub(crate) setup_settle: S,
    /// Begins a transaction that writes.
    pub(crate) begin: S,
    /// Whether a commit on the settling connection waits for the disk.
    pub(crate) durable: S,
    pub(crate) lazy: S,
    pub(crate) version: S,
    /// `$1` relay, `$2` 1: start behind what is there.
    pub(crate) ensure: S,
    /// `$1` relay. Gives: last number drawn, position, what the sequence is now, what it was at the acquisition.
    pub(crate) sequence: S,
    /// `$1` relay, `$2` owner, `$3` token, `$4` lease in ms, `$5` topics as JSON, `$6` 1: no token has to be there.
    pub(crate) acquire: S,
    /// `$1` relay. Gives: ms to expiry, epoch, 1 if a valid token is there, lease in ms, start of the server.
    pub(crate) standing: S,
    /// `$1` relay.
    pub(crate) parked: S,
    /// `$1` relay, `$2` epoch, `$3` token, `$4` floor, `$5` position, `$6` snapshot, `$7` unsettled.
    pub(crate) scan: S,
    /// `$1` relay, `$2` epoch, `$3` token, `$4` after, `$5` limit.
    pub(crate) fetch: S,
    /// And `$6` the sequence numbers of holes.
    pub(crate) fetch_holes: S,
    /// And `$6`, `$7` the first and last numbers of holes.
    pub(crate) fetch_ranges: S,
    pub(crate) writers: S,
    /// `$1` relay, `$2` epoch, `$3` token, `$4` sequence numbers.
    pub(crate) read: S,
    /// `$1` relay, `$2` epoch, `$3` token, `$4` position, `$5` floor, `$6` snapshot, `$7` unsettled, `$8` 1: it moved.
    /// Several statements are one transaction; no row from the first one: the lease is not ours.
    pub(crate) settle: L,
    /// And `$9` position and `$10` time in microseconds of a progress row, `$11` unparked, `$12` parked and `$13` dead
    /// as JSON.
    pub(crate) settle_full: L,
    /// `$1` relay, `$2` epoch, `$3` token, `$4` position and `$5` time of a progress row.
    pub(crate) release: L,
    /// `$1` relay, `$2` epoch, `$3` token. Gives crashes, suspect.
    pub(crate) crashes: S,
    /// And `$4` suspect, `$5` 1: an outage.
    pub(crate) note: S,
    /// `$1` bound of what is counted.
    pub(crate) status: S,
    /// `$1` relay.
    pub(crate) reset: L,
}

/// As they stand in the code.
pub(crate) type Text = Statements<&'static str, &'static [&'static str]>;
/// With names filled in.
pub(crate) type Sql = Statements<String, Vec<String>>;

impl Sql {
    pub(crate) fn new(dialect: Dialect, names: &Names) -> Self {
        let (text, parts) = match dialect {
            Dialect::Postgres => (postgres::STATEMENTS, postgres::PARTS),
            Dialect::Mysql => (mysql::STATEMENTS, mysql::PARTS),
            Dialect::Sqlite => (sqlite::STATEMENTS, sqlite::PARTS),
        };
        let fill = |sql: &str| fill(sql, parts, dialect, names);
        let list = |sqls: &[&str]| sqls.iter().map(|sql| fill(sql)).collect::<Vec<_>>();
        Self {
            setup_fetch: fill(text.setup_fetch),
            setup_settle: fill(text.setup_settle),
            begin: fill(text.begin),
            durable: fill(text.durable),
            lazy: fill(text.lazy),
            version: fill(text.version),
            ensure: fill(text.ensure),
            sequence: fill(text.sequence),
            acquire: fill(text.acquire),
            standing: fill(text.standing),
            parked: fill(text.parked),
            scan: fill(text.scan),
            fetch: fill(text.fetch),
            fetch_holes: fill(text.fetch_holes),
            fetch_ranges: fill(text.fetch_ranges),
            writers: fill(text.writers),
            read: fill(text.read),
            settle: list(text.settle),
            settle_full: list(text.settle_full),
            release: list(text.release),
            crashes: fill(text.crashes),
            note: fill(text.note),
            status: fill(text.status),
            reset: list(text.reset),
        }
    }
}

/// Puts the parts, and then the names, into a statement.
pub(crate) fn fill(sql: &str, parts: &[(&str, &str)], dialect: Dialect, names: &Names) -> String {
    let sql = parts.iter().fold(sql.to_owned(), |sql, (name, part)| sql.replace(name, part));
    let schema = names.schema_name().map_or("database()".into(), |schema| format!("'{schema}'"));
    names.render_for(dialect, &sql).replace("{SCHEMA}", &schema)
}
