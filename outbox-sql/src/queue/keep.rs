use std::time::Duration;

use outbox_core::{StoreError, StoreErrorKind, clock};

use super::{QueueStore, Session};
use crate::migrate::check;
use crate::mysql::{PARTS, QUEUE, QueueStatements};
use crate::retain::LONGEST;
use crate::statements::{Sql, fill};
use crate::store::lock;
use crate::{Connection, Dialect, Driver, Names, Value, literals};

/// Messages of one statement.
const BATCH: i64 = 1_000;
/// Between two looks where nothing was old enough.
const IDLE: Duration = Duration::from_secs(10);

impl QueueStore {
    /// After a settlement: deletes a batch of what was kept long enough, where it is time to.
    pub(super) async fn prune_behind(&self, session: &Session, conn: &mut dyn Connection) -> Result<(), StoreError> {
        let Some(keep_for) = self.keep else { return Ok(()) };
        let now = clock::now();
        if lock(&session.pruned).0.is_some_and(|last| now.saturating_duration_since(last) < IDLE) {
            return Ok(());
        }
        let after = lock(&session.pruned).1;
        let next = match prune(conn, &self.queue, after, keep_for).await {
            // From the start after a rest: for what was parked and delivered late.
            Ok(Pruned { last, full: true, deleted: 1.. }) => (None, last),
            Ok(_) => (Some(now), 0),
            // It can wait, and must not cost the lease.
            Err(e) if e.kind() == StoreErrorKind::Conflict => (Some(now), after),
            Err(e) => return Err(e),
        };
        *lock(&session.pruned) = next;
        Ok(())
    }
}

/// Deletes delivered messages that were kept for so long, on MySQL and MariaDB. Gives how many.
///
/// # Errors
/// `Schema` where the tables are missing or of another version; `Config` on a database that keeps a log.
///
/// # Cancel safety
/// Some of them were deleted.
pub async fn retain_delivered(driver: &dyn Driver, names: &Names, keep_for: Duration) -> Result<u64, StoreError> {
    let dialect = driver.dialect();
    if dialect != Dialect::Mysql {
        return Err(
            StoreError::new(StoreErrorKind::Config, "retain").with_detail("this database keeps a log: use `retain`")
        );
    }
    let queue = QUEUE.map(|sql| fill(sql, PARTS, dialect, names));
    let sql = Sql::new(dialect, names);
    let mut conn = driver.connect().await?;
    check(&mut *conn, &sql).await?;
    conn.script(&sql.setup_settle).await?;
    let (mut after, mut all) = (0, 0);
    loop {
        let pruned = prune(&mut *conn, &queue, after, keep_for).await.map_err(|e| e.during("retain"))?;
        all += pruned.deleted.unsigned_abs();
        if !pruned.full {
            return Ok(all);
        }
        after = pruned.last;
    }
}

/// The next messages that are kept.
struct Pruned {
    last: i64,
    /// Whether there may be more behind them.
    full: bool,
    deleted: i64,
}

async fn prune(
    conn: &mut dyn Connection,
    queue: &QueueStatements<String>,
    after: i64,
    keep_for: Duration,
) -> Result<Pruned, StoreError> {
    let oldest = conn.query(&queue.oldest, &[BATCH.into(), after.into()]).await?;
    let int = |i: usize| oldest.first().and_then(|row| row.get(i)).and_then(Value::int);
    let Some(last) = int(0) else { return Ok(Pruned { last: after, full: false, deleted: 0 }) };
    let keep = i64::try_from(keep_for.min(LONGEST).as_micros()).unwrap_or(i64::MAX);
    let params = [last.into(), keep.into(), BATCH.into(), after.into()];
    let deleted = changed(conn, &literals(&queue.prune, &params)).await?;
    Ok(Pruned { last, full: int(1).unwrap_or(0) >= BATCH, deleted })
}

/// Runs a statement without parameters, and gives how many rows it changed. The count is taken in the same script: what
/// a client sends between two statements may reset it.
pub(crate) async fn changed(conn: &mut dyn Connection, sql: &str) -> Result<i64, StoreError> {
    conn.script(&format!("{sql}; set @changed_rows = row_count()")).await?;
    let rows = conn.query("select cast(@changed_rows as signed)", &[]).await?;
    Ok(rows.first().and_then(|row| row[0].int()).unwrap_or(0))
}
