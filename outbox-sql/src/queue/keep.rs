use std::time::Duration;

use outbox_core::{StoreError, StoreErrorKind, clock};

use super::{QueueStore, Session};
use crate::migrate::check;
use crate::mysql::{PARTS, QUEUE, QueueStatements};
use crate::statements::{Sql, fill};
use crate::store::lock;
use crate::{Connection, Driver, Names};

/// Messages of one statement.
const BATCH: i64 = 1_000;
/// Between two looks where nothing was old enough.
const IDLE: Duration = Duration::from_secs(10);
/// Longer is forever; the database's calendar ends somewhere.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

impl QueueStore {
    /// After a settlement: deletes a batch of what was kept long enough, where it is time to.
    pub(super) async fn prune_behind(&self, session: &Session, conn: &mut dyn Connection) -> Result<(), StoreError> {
        let Some(keep_for) = self.keep else { return Ok(()) };
        let now = clock::now();
        if lock(&session.pruned).is_some_and(|last| now.saturating_duration_since(last) < IDLE) {
            return Ok(());
        }
        let more = match prune(conn, &self.queue, keep_for).await {
            Ok(deleted) => deleted >= BATCH,
            // It can wait, and must not cost the lease.
            Err(e) if e.kind() == StoreErrorKind::Conflict => false,
            Err(e) => return Err(e),
        };
        *lock(&session.pruned) = (!more).then_some(now);
        Ok(())
    }
}

/// Deletes delivered messages that were kept for so long, on MySQL and MariaDB. Gives how many.
///
/// # Errors
/// `Schema` where the tables are missing or of another version.
///
/// # Cancel safety
/// Some of them were deleted.
pub async fn retain_delivered(driver: &dyn Driver, names: &Names, keep_for: Duration) -> Result<u64, StoreError> {
    let dialect = driver.dialect();
    let queue = QUEUE.map(|sql| fill(sql, PARTS, dialect, names));
    let sql = Sql::new(dialect, names);
    let mut conn = driver.connect().await?;
    check(&mut *conn, &sql).await?;
    conn.script(&sql.setup_settle).await?;
    let mut all = 0;
    loop {
        let deleted = prune(&mut *conn, &queue, keep_for).await.map_err(|e| e.during("retain"))?;
        all += deleted.unsigned_abs();
        if deleted < BATCH {
            return Ok(all);
        }
    }
}

/// Looks at the oldest only: the rest is younger, but for messages that were parked.
async fn prune(
    conn: &mut dyn Connection,
    queue: &QueueStatements<String>,
    keep_for: Duration,
) -> Result<i64, StoreError> {
    let oldest = conn.query(&queue.oldest, &[BATCH.into()]).await?;
    let Some(last) = oldest.first().and_then(|row| row[0].int()) else { return Ok(0) };
    let keep = i64::try_from(keep_for.min(LONGEST).as_micros()).unwrap_or(i64::MAX);
    conn.query(&queue.prune, &[last.into(), keep.into(), BATCH.into()]).await?;
    let deleted = conn.query("select cast(row_count() as signed)", &[]).await?;
    Ok(deleted.first().and_then(|row| row[0].int()).unwrap_or(0))
}
