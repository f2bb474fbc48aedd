/// Which database the statements are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Postgres 14 or newer: a log with holes.
    Postgres,
    /// MySQL 8.0, MariaDB 10.6, or newer: a queue, whose messages are deleted when they are settled.
    Mysql,
    /// SQLite 3.42 or newer: a log by seq.
    Sqlite,
}
