use outbox_core::{StoreError, StoreErrorKind};

use super::statements::Sql;
use crate::migrate::check;
use crate::{Driver, Names, Value};

/// Forgets a relay name: its cursor, and what it had parked. Its dead letters stay. It pins no message any longer; a
/// relay of this name begins anew, from the first message that is kept.
///
/// # Errors
/// `Config` for a name that nobody ever ran, and where a process holds its lease: stop that process first.
///
/// # Cancel safety
/// The name was forgotten or not.
pub async fn drop_relay(driver: &dyn Driver, names: &Names, relay: &str) -> Result<(), StoreError> {
    drop(driver, names, relay, false).await
}

/// As [`drop_relay`], also where a lease is held: for one whose process is gone, without waiting for its end. A process
/// that still runs it loses the lease, and begins anew from the first message that is kept: it delivers all of them
/// again.
///
/// # Errors
/// `Config` for a name that nobody ever ran.
///
/// # Cancel safety
/// As [`drop_relay`].
pub async fn force_drop_relay(driver: &dyn Driver, names: &Names, relay: &str) -> Result<(), StoreError> {
    drop(driver, names, relay, true).await
}

async fn drop(driver: &dyn Driver, names: &Names, relay: &str, force: bool) -> Result<(), StoreError> {
    let sql = Sql::new(driver.dialect(), names);
    let common = crate::statements::Sql::new(driver.dialect(), names);
    let mut conn = driver.connect().await?;
    check(&mut *conn, &common).await?;
    let named = |e: StoreError| e.during("drop relay");
    conn.script(&sql.setup).await.map_err(named)?;
    conn.script(&common.begin).await.map_err(named)?;
    // Locked in a statement of its own: what a settlement parked until then is seen by the next ones.
    let rows = conn.query(&sql.held, &[relay.into()]).await.map_err(named)?;
    let refuse = |detail| Err(StoreError::new(StoreErrorKind::Config, "drop relay").with_detail(detail));
    let Some(row) = rows.first() else {
        return refuse(format!("there is no relay named {relay:?}: `outbox status` lists the names"));
    };
    let left_ms = row.first().and_then(Value::int).unwrap_or(0);
    if left_ms > 0 && !force {
        return refuse(format!(
            "a process runs {relay:?}, and would begin anew: stop it first. If it is gone, wait {} s for its lease to \
             end, or use --force (`force_drop_relay`)",
            left_ms.div_euclid(1_000) + 1
        ));
    }
    for statement in &sql.drop {
        conn.query(statement, &[relay.into()]).await.map_err(named)?;
    }
    conn.script("commit").await.map_err(named)
}
