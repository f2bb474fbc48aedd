use outbox_core::{StoreError, StoreErrorKind};

use crate::migrate::check;
use crate::replay::Selection;
use crate::statements::Sql;
use crate::{Dialect, Driver, Names, Replay, Value};

/// More waiting messages are not counted.
const COUNTED: i64 = 100_001;

/// How one relay name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStatus {
    /// The relay's name.
    pub relay: String,
    /// Whether a process holds its lease.
    pub active: bool,
    /// How often the lease was acquired.
    pub epoch: i64,
    /// The highest sequence number handed out.
    pub position: i64,
    /// The highest sequence number drawn by a writer.
    pub last: i64,
    /// Messages that wait, not counting the parked: exact up to 100,000, then 100,001.
    pub waiting: i64,
    /// Messages that wait for another attempt.
    pub parked: i64,
    /// Messages given up on.
    pub dead: i64,
    /// When messages were settled last, in UTC as RFC 3339.
    pub settled_at: Option<String>,
    /// The topics of whoever ran it last: exact names, or prefixes that end in one `*`. Empty: all.
    pub topics: Vec<String>,
    /// What it replays, where it is a replay.
    pub replay: Option<Replay>,
}

/// How every relay name of these tables stands, by name.
///
/// # Errors
/// `Schema` where the tables are missing or of another version.
pub async fn status(driver: &dyn Driver, names: &Names) -> Result<Vec<RelayStatus>, StoreError> {
    let sql = Sql::new(driver.dialect(), names);
    let mut conn = driver.connect().await?;
    check(&mut *conn, &sql).await?;
    if driver.dialect() == Dialect::Mysql {
        // Else the last number is that of a statistic, up to a day old.
        conn.script(&sql.setup_fetch).await?;
    }
    let rows = conn.query(&sql.status, &[Value::from(COUNTED)]).await.map_err(|e| e.during("status"))?;
    let int = |row: &[Value], i: usize| row[i].int().unwrap_or(0);
    let status = |row: Vec<Value>| RelayStatus {
        relay: row[0].text().unwrap_or_default().to_owned(),
        active: int(&row, 1) == 1,
        epoch: int(&row, 2),
        position: int(&row, 3),
        last: int(&row, 4),
        parked: int(&row, 5),
        dead: int(&row, 6),
        waiting: int(&row, 7),
        settled_at: row[8].text().map(str::to_owned),
        topics: row.get(9).and_then(Value::text).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default(),
        replay: row
            .get(10)
            .and_then(Value::text)
            .and_then(Selection::read)
            .map(|selection| Replay { relay: row[0].text().unwrap_or_default().to_owned(), selection }),
    };
    Ok(rows.into_iter().map(status).collect())
}

/// Starts a relay name from the first message that is kept, and forgets what it had parked. Whatever process holds its
/// lease loses it. What was delivered before is delivered again.
///
/// # Errors
/// `Config` for a name that nobody ever ran.
pub async fn reset(driver: &dyn Driver, names: &Names, relay: &str) -> Result<(), StoreError> {
    let sql = Sql::new(driver.dialect(), names);
    let mut conn = driver.connect().await?;
    check(&mut *conn, &sql).await?;
    let several = sql.reset.len() > 1;
    if several {
        conn.script(&sql.begin).await?;
    }
    let mut known = None;
    for statement in &sql.reset {
        let rows = conn.query(statement, &[Value::from(relay)]).await.map_err(|e| e.during("reset"))?;
        known.get_or_insert(!rows.is_empty());
    }
    if several {
        conn.script("commit").await?;
    }
    if known == Some(true) {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::Config, "reset")
        .with_detail(format!("there is no relay named {relay:?}: `outbox status` lists the names")))
}
