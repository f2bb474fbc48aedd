//! Retention: what every relay name has settled is deleted when it is old enough.
//!
//! Deleting needs no fence. What is settled is read from the cursors in the deleting statement itself, by the predicate
//! of the takeover; so a row that may be deleted stays so, whoever asks, and whatever lease he lost. A row of
//! `outbox_retention` says where the last batch ended and when the next one may begin: whoever locks it deletes, for
//! all processes together. It also keeps a replay that is being made from losing its first messages.

mod batch;
mod statements;
mod task;

use std::time::Duration;

use outbox_core::StoreError;

use batch::{Batch, sweep};
pub(crate) use batch::{LONGEST, lock_out};
pub(crate) use statements::Sql;
pub(crate) use task::Task;

use crate::migrate::check;
use crate::{Driver, Names};

/// A statement works on this many messages at first.
const FIRST: i64 = 1_000;

/// How long a message is kept after every relay name has settled it.
///
/// The age counts from `created_at`. A message that is parked is kept in any case, and so is all that a relay name has
/// not settled, also one that nobody runs any more: `outbox relay drop NAME` forgets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// At least this long; at most 100 years.
    For(Duration),
    /// Nothing is deleted.
    Forever,
}

impl Default for Keep {
    /// 7 days.
    fn default() -> Self {
        Self::For(Duration::from_secs(7 * 24 * 3_600))
    }
}

/// Deletes now what every relay name has settled and what is older than `keep_for`, from the first message on, batch
/// after batch without a rest. Gives how many were deleted; without any relay name, none.
///
/// # Errors
/// `Schema` where the tables are missing or of another version; `Config` on a database that is no log. Batches that
/// were deleted before an error stay so.
///
/// # Cancel safety
/// The batch that was under way was deleted or not.
pub async fn retain(driver: &dyn Driver, names: &Names, keep_for: Duration) -> Result<u64, StoreError> {
    let sql = Sql::new(driver.dialect(), names)?;
    let mut conn = driver.connect().await?;
    check(&mut *conn, &crate::statements::Sql::new(driver.dialect(), names)).await?;
    conn.script(&sql.setup).await?;
    let (mut after, mut deleted) = (0, 0);
    loop {
        let window = sweep(&mut *conn, &sql, after, FIRST, keep_for).await.map_err(|e| e.during("retain"))?;
        let Some(last) = window.last else { return Ok(deleted) };
        deleted += Batch { after, last, keep_for }.delete(&mut *conn, &sql).await.map_err(|e| e.during("retain"))?;
        after = last;
    }
}
