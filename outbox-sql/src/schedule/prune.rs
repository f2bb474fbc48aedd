use outbox_core::StoreError;

use super::statements::now;
use crate::migrate::check;
use crate::queue::changed;
use crate::statements::Sql;
use crate::{Connection, Dialect, Driver, Names, Value, literals};

/// Rows of one statement.
const BATCH: i64 = 2_000;

/// What deletes a batch of rows that have expired.
#[derive(Debug)]
pub(crate) struct Expired {
    dialect: Dialect,
    /// `$1` limit. The last one gives how many; none does on MySQL.
    statements: Vec<String>,
}

impl Expired {
    pub(super) fn dedup(dialect: Dialect, names: &Names) -> Self {
        Self::new(dialect, names, "outbox_dedup", "key")
    }

    pub(crate) fn inbox(dialect: Dialect, names: &Names) -> Self {
        Self::new(dialect, names, "outbox_inbox", "consumer, message_id")
    }

    fn new(dialect: Dialect, names: &Names, table: &str, key: &str) -> Self {
        let texts: &[&str] = match dialect {
            // What somebody writes anew meanwhile is passed over.
            Dialect::Postgres => &["with gone as (delete from {TABLE} where ctid = any(array( \
                    select ctid from {TABLE} where expires_at <= {NOW} order by expires_at limit $1::int8 \
                    for update skip locked)) returning 1) \
                select count(*) from gone"],
            Dialect::Mysql => &["delete from {TABLE} where expires_at <= {NOW} order by expires_at limit $1"],
            Dialect::Sqlite => &[
                "delete from {TABLE} where ({KEY}) in (select {KEY} from {TABLE} \
                    where expires_at <= {NOW} order by expires_at limit $1)",
                "select changes()",
            ],
        };
        let fill = |sql: &&str| sql.replace("{TABLE}", table).replace("{KEY}", key).replace("{NOW}", now(dialect));
        Self { dialect, statements: texts.iter().map(|sql| names.render_for(dialect, &fill(sql))).collect() }
    }
}

/// Gives how many were deleted, and whether there may be more.
pub(super) async fn prune_batch(conn: &mut dyn Connection, expired: &Expired) -> Result<(u64, bool), StoreError> {
    let mut deleted = 0;
    for sql in &expired.statements {
        deleted = match expired.dialect {
            Dialect::Mysql => changed(conn, &literals(sql, &[BATCH.into()])).await?,
            _ => {
                let rows = conn.query(sql, &[BATCH.into()]).await?;
                rows.first().and_then(|row| row.first()).and_then(Value::int).unwrap_or(0)
            }
        };
    }
    Ok((deleted.unsigned_abs(), deleted >= BATCH))
}

/// Deletes all that has expired, batch after batch.
pub(crate) async fn prune_all(driver: &dyn Driver, names: &Names, expired: &Expired) -> Result<u64, StoreError> {
    let dialect = driver.dialect();
    let mut conn = driver.connect().await?;
    check(&mut *conn, &Sql::new(dialect, names)).await?;
    conn.script(super::statements::Sql::new(dialect, names).setup).await?;
    let mut all = 0;
    loop {
        let (deleted, more) = prune_batch(&mut *conn, expired).await?;
        all += deleted;
        if !more {
            return Ok(all);
        }
    }
}
