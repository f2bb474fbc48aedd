use std::time::Duration;

use outbox_core::StoreError;

use super::statements::Sql;
use crate::{Connection, Value};

/// Longer is forever; the databases' calendars end somewhere.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// The next messages behind a number, settled or not.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The last of them; `None` where there is none.
    pub(super) last: Option<i64>,
    pub(super) messages: i64,
    /// How many are old enough.
    pub(super) old: i64,
    /// Whether the last one is.
    pub(super) last_is_old: bool,
}

/// Looks at the next messages, without a lock.
pub(super) async fn sweep(
    conn: &mut dyn Connection,
    sql: &Sql,
    after: i64,
    limit: i64,
    keep_for: Duration,
) -> Result<Window, StoreError> {
    let rows = conn.query(&sql.window, &[after.into(), limit.into(), micros(keep_for).into()]).await?;
    let int = |i: usize| rows.first().and_then(|row| row.get(i)).and_then(Value::int);
    Ok(Window {
        last: int(0),
        messages: int(1).unwrap_or(0),
        old: int(2).unwrap_or(0),
        last_is_old: int(3).unwrap_or(0) == 1,
    })
}

/// The messages in `(after, last]`.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) after: i64,
    pub(super) last: i64,
    pub(super) keep_for: Duration,
}

impl Batch {
    /// Deletes, in a transaction of its own, once nobody else does.
    pub(super) async fn delete(&self, conn: &mut dyn Connection, sql: &Sql) -> Result<u64, StoreError> {
        conn.script(sql.begin).await?;
        conn.query(&sql.lock, &[]).await?;
        let deleted = self.run(conn, sql).await?;
        conn.script("commit").await?;
        Ok(deleted)
    }

    /// In a transaction that holds the lock. It has to be taken in an earlier statement: this one must see the cursor
    /// of a replay that was made while the lock was waited for.
    pub(super) async fn run(&self, conn: &mut dyn Connection, sql: &Sql) -> Result<u64, StoreError> {
        let range = [self.after.into(), self.last.into(), micros(self.keep_for).into()];
        let mut rows = Vec::new();
        for statement in &sql.delete {
            rows = conn.query(statement, &range).await?;
        }
        // After the messages: what they needed is needed no longer.
        conn.query(&sql.prune, &range[..2]).await?;
        let deleted = rows.first().and_then(|row| row.first()).and_then(Value::int);
        Ok(deleted.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }
}

/// Within a transaction: waits for a batch that is under way, and lets none begin before the transaction ends.
pub(crate) async fn lock_out(conn: &mut dyn Connection, sql: &Sql) -> Result<(), StoreError> {
    conn.query(&sql.lock, &[]).await.map(drop)
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.min(LONGEST).as_micros()).unwrap_or(i64::MAX)
}
