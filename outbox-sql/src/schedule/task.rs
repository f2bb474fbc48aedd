use std::sync::Arc;
use std::time::Duration;

use outbox_core::StoreError;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::mover::{IDLE, Mover, Next};
use crate::{Connection, Driver};

/// A database that does not answer is given up after this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait after errors; it doubles from [`IDLE`] on.
const RETRY: Duration = Duration::from_secs(60);

/// The mover for as long as a lease: dropped, it ends. What it was in is rolled back with its connection.
#[derive(Debug)]
pub(crate) struct Task(AbortHandle);

impl Task {
    /// Nothing is connected before the first look, which is after `next`, so a lease that is short costs nothing.
    pub(crate) fn start(driver: &Arc<dyn Driver>, mover: &Arc<Mover>, next: Next) -> Self {
        Self(tokio::spawn(run(driver.clone(), mover.clone(), next)).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(driver: Arc<dyn Driver>, mover: Arc<Mover>, mut next: Next) {
    let (mut kept, mut retry) = (None, IDLE);
    loop {
        sleep(next.wait).await;
        match timeout(PATIENCE, turn(&driver, &mover, &mut kept, next)).await {
            Ok(Ok(found)) => (next, retry) = (found, IDLE),
            failed => {
                let error = match failed {
                    Ok(Err(e)) => e.with_causes(),
                    _ => format!("no answer within {PATIENCE:?}"),
                };
                tracing::warn!(error, "scheduled messages that are due wait; this is tried again");
                kept = None;
                next.wait = retry;
                retry = (retry * 2).min(RETRY);
            }
        }
    }
}

async fn turn(
    driver: &Arc<dyn Driver>,
    mover: &Mover,
    kept: &mut Option<Box<dyn Connection>>,
    next: Next,
) -> Result<Next, StoreError> {
    let conn = match kept {
        Some(conn) => &mut **conn,
        None => {
            let mut conn = driver.connect().await?;
            conn.script(mover.sql.setup).await?;
            &mut **kept.insert(conn)
        }
    };
    mover.turn(conn, next).await
}
