use std::sync::Arc;
use std::time::Duration;

use outbox_core::{StoreError, clock};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::batch::{Batch, Window, micros, sweep};
use super::statements::Sql;
use super::{FIRST, Keep};
use crate::{Connection, Driver, Value};

/// Between two looks where nothing is to be deleted; a tenth of `keep_for` where that is less.
const IDLE: Duration = Duration::from_secs(10);
/// A batch rests so many times as long as it took: a tenth of the time at most is spent on deleting.
const REST: u32 = 9;
/// A batch that takes longer is halved next time, a shorter one doubled, within these bounds.
const LONG: Duration = Duration::from_millis(50);
const SIZES: (i64, i64) = (100, 5_000);
/// A database that does not answer is given up after this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// After an error.
const RETRY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));
/// A relay name that nobody runs and that so many messages lie behind is warned of.
const PINNED: i64 = 1_000_000;

/// Retention for as long as a lease: dropped, it ends.
#[derive(Debug)]
pub(crate) struct Task(AbortHandle);

impl Task {
    /// Nothing is connected before the first look, so a lease that is short costs nothing.
    pub(crate) fn start(driver: &Arc<dyn Driver>, sql: &Arc<Sql>, keep: Keep) -> Option<Self> {
        let Keep::For(keep_for) = keep else { return None };
        let idle = (keep_for / 10).clamp(Duration::from_millis(50), IDLE);
        let task = Retention { driver: driver.clone(), sql: sql.clone(), keep_for, idle, limit: FIRST };
        Some(Self(tokio::spawn(task.run()).abort_handle()))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Retention {
    driver: Arc<dyn Driver>,
    sql: Arc<Sql>,
    keep_for: Duration,
    idle: Duration,
    /// Messages of the next batch.
    limit: i64,
}

impl Retention {
    async fn run(mut self) {
        let (mut kept, mut wait, mut retry) = (None, self.idle, RETRY.0);
        loop {
            sleep(wait).await;
            match timeout(PATIENCE, self.turn(&mut kept)).await {
                Ok(Ok(next)) => (wait, retry) = (next, RETRY.0),
                failed => {
                    let error = match failed {
                        Ok(Err(e)) => e.with_causes(),
                        _ => format!("no answer within {PATIENCE:?}"),
                    };
                    tracing::warn!(error, "nothing was deleted of what every relay has settled; this is tried again");
                    // Whatever it was in, a transaction of its goes with it.
                    (kept, wait) = (None, retry);
                    retry = (retry * 2).min(RETRY.1);
                }
            }
        }
    }

    /// One batch, where one is due and nobody else is at it. Gives the time to the next one.
    async fn turn(&mut self, kept: &mut Option<Box<dyn Connection>>) -> Result<Duration, StoreError> {
        let conn = match kept {
            Some(conn) => &mut **conn,
            None => {
                let mut conn = self.driver.connect().await?;
                conn.script(&self.sql.setup).await?;
                &mut **kept.insert(conn)
            }
        };
        let rows = conn.query(&self.sql.look, &[]).await?;
        let int = |i: usize| rows.first().and_then(|row| row.get(i)).and_then(Value::int).unwrap_or(0);
        let (seen, again, due_ms) = (int(0), int(1) == 1, int(2));
        if due_ms > 0 {
            return Ok(Duration::from_millis(due_ms.unsigned_abs()).min(self.idle));
        }
        // From the start now and then: for what was parked, and for names that went on after an outage.
        let after = if again { 0 } else { seen };
        let window = sweep(conn, &self.sql, after, self.limit, self.keep_for).await?;
        if window.old == 0 && !again {
            return Ok(self.idle);
        }
        conn.script(self.sql.begin).await?;
        if conn.query(&self.sql.claim, &[seen.into()]).await?.is_empty() {
            conn.script("rollback").await?;
            return Ok(self.idle);
        }
        let began = clock::now();
        let mut deleted = 0;
        if let Some(last) = window.last {
            deleted = Batch { after, last, keep_for: self.keep_for }.run(conn, &self.sql).await?;
        }
        let took = clock::now().saturating_duration_since(began);
        let (end, more) = self.ahead(&window, after, deleted);
        let rest = if more { took * REST } else { self.idle.max(took * REST) };
        let params = [end.into(), micros(rest).into(), i64::from(again).into()];
        conn.query(&self.sql.store, &params).await?;
        conn.script("commit").await?;
        self.limit = if took > LONG { self.limit / 2 } else { self.limit * 2 }.clamp(SIZES.0, SIZES.1);
        tracing::debug!(deleted, ?took, ?rest, "deleted what every relay has settled");
        if again {
            self.warn_of_pins(conn).await?;
        }
        Ok(rest)
    }

    /// Where the next batch begins, and whether there is one already.
    fn ahead(&self, window: &Window, after: i64, deleted: u64) -> (i64, bool) {
        let full = window.messages >= self.limit;
        match window.last {
            // Where the last one is too young, so is what follows. Else it stands in the way of the old ones behind.
            Some(last) if full && (window.last_is_old || deleted == 0 && window.old > 0) => (last, true),
            _ => (after, false),
        }
    }

    async fn warn_of_pins(&self, conn: &mut dyn Connection) -> Result<(), StoreError> {
        for row in conn.query(&self.sql.pins, &[PINNED.into()]).await? {
            let (relay, behind) = (row[0].text().unwrap_or_default(), row[1].int().unwrap_or(0));
            tracing::warn!(
                relay,
                behind,
                "nobody runs this relay, and no message that it has not settled is deleted: start it, or forget it with \
                 `outbox relay drop {relay}`"
            );
        }
        Ok(())
    }
}
