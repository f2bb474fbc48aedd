/// Which database the statements are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Postgres 14 or newer: a log with holes.
    Postgres,
    /// SQLite 3.42 or newer: a log by seq.
    Sqlite,
}
