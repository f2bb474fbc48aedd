use std::collections::HashSet;
use std::time::Duration;

use outbox_core::{StoreError, clock};

use super::prune::{Expired, prune_batch};
use super::statements::Sql;
use crate::{Connection, Dialect, Names, Signal, Value};

/// Messages of one transaction; more where all of them are held up by one that somebody is about to cancel.
const BATCH: i64 = 500;
const LARGEST: i64 = 16 * BATCH;
/// Transactions of an acquisition.
const FIRST: usize = 10;
/// The longest time between two looks.
pub(super) const IDLE: Duration = Duration::from_secs(1);
/// Between two looks for what has expired, where nothing was left.
const PRUNED: Duration = Duration::from_secs(10);
/// Pruning rests so many times as long as it took.
const REST: u32 = 9;

/// Moves what is due, one transaction a turn.
#[derive(Debug)]
pub(crate) struct Mover {
    pub(super) sql: Sql,
    expired: [Expired; 2],
    signal: Signal,
}

/// The time to the next turn, and the limit of its batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    pub(super) wait: Duration,
    limit: i64,
}

impl Default for Next {
    fn default() -> Self {
        Self { wait: Duration::ZERO, limit: BATCH }
    }
}

/// At the start of a lease, over the connection that it was acquired with: a relay that runs once delivers what is due.
/// What fails is tried again by the mover's own task: the lease is there all the same.
pub(crate) async fn catch_up(conn: &mut dyn Connection, mover: &Mover) -> Next {
    let mut next = Next::default();
    for _ in 0..FIRST {
        match mover.turn(conn, next).await {
            Ok(then) => next = then,
            Err(error) => {
                tracing::warn!(%error, "what is due could not be moved; it is tried again");
                // Where no transaction is open, there is nothing to roll back.
                _ = conn.script("rollback").await;
                return Next { wait: IDLE, ..next };
            }
        }
        if !next.wait.is_zero() {
            break;
        }
    }
    next
}

impl Mover {
    pub(crate) fn new(dialect: Dialect, names: &Names, signal: &Signal) -> Self {
        Self {
            sql: Sql::new(dialect, names),
            expired: [Expired::dedup(dialect, names), Expired::inbox(dialect, names)],
            signal: signal.clone(),
        }
    }

    /// Looks what is due, and moves a batch of it where nobody else is at it.
    pub(super) async fn turn(&self, conn: &mut dyn Connection, last: Next) -> Result<Next, StoreError> {
        let idle = |wait: Duration| Next { wait: wait.clamp(Duration::from_millis(1), IDLE), limit: BATCH };
        let rows = conn.query(&self.sql.look, &[]).await?;
        if rows.is_empty() {
            conn.script(&self.sql.mend).await?;
            return Ok(idle(Duration::ZERO));
        }
        let column = |i: usize| rows.first().and_then(|row| row.get(i)).and_then(Value::int);
        let (due_ms, prune_ms) = (column(0), column(1).unwrap_or(i64::MAX));
        if prune_ms <= 0
            && due_ms.is_none_or(|ms| ms > 0)
            && let Err(error) = self.prune(conn).await
        {
            // Somebody holds what has expired: what is due does not wait for that.
            tracing::debug!(%error, "what has expired could not be deleted; it is tried again");
            _ = conn.script("rollback").await;
            conn.query(&self.sql.pruned, &[i64::try_from(PRUNED.as_millis()).unwrap_or(i64::MAX).into()]).await?;
        }
        match due_ms.map(|ms| u64::try_from(ms).unwrap_or(0)) {
            None => return Ok(idle(IDLE)),
            Some(0) => {}
            Some(ms) => return Ok(idle(Duration::from_millis(ms))),
        }
        conn.script(self.sql.begin).await?;
        if let Some(durable) = self.sql.durable {
            conn.script(durable).await?;
        }
        if conn.query(&self.sql.claim, &[]).await?.is_empty() {
            // Who has it looks again by itself.
            conn.script("rollback").await?;
            return Ok(idle(IDLE));
        }
        let (due, moved) = self.shift(conn, last.limit).await?;
        conn.script("commit").await?;
        if moved > 0 {
            self.signal.ring();
        }
        let full = i64::try_from(due).unwrap_or(i64::MAX) >= last.limit;
        Ok(match moved {
            0 if full && last.limit < LARGEST => Next { wait: Duration::ZERO, limit: last.limit * 2 },
            0 => idle(IDLE / 10),
            _ if full => Next::default(),
            _ => idle(Duration::ZERO),
        })
    }

    /// Within a transaction that holds the claim. Gives how many were due, and how many of them were moved.
    async fn shift(&self, conn: &mut dyn Connection, limit: i64) -> Result<(usize, usize), StoreError> {
        let due: Vec<Due> =
            conn.query(&self.sql.due, &[limit.into()]).await?.iter().map(|row| Due::read(row)).collect();
        if due.is_empty() {
            return Ok((0, 0));
        }
        let ids: Vec<&str> = due.iter().map(|due| due.id.as_str()).collect();
        let free: HashSet<String> = match &self.sql.lock {
            Some(lock) => {
                let (sql, ids) = self.sql.of(lock, &ids);
                let rows = conn.query(&sql, &ids).await?;
                rows.iter().filter_map(|row| row.first().and_then(Value::text).map(str::to_owned)).collect()
            }
            None => ids.iter().map(|id| (*id).to_owned()).collect(),
        };
        let movable = movable(&due, &free);
        if !movable.is_empty() {
            for sql in &self.sql.moves {
                let (sql, ids) = self.sql.of(sql, &movable);
                conn.query(&sql, &ids).await?;
            }
        }
        Ok((due.len(), movable.len()))
    }

    /// A batch of what has expired, in a transaction of its own.
    async fn prune(&self, conn: &mut dyn Connection) -> Result<(), StoreError> {
        conn.script(self.sql.begin).await?;
        if conn.query(&self.sql.claim, &[]).await?.is_empty() {
            return conn.script("rollback").await;
        }
        let began = clock::now();
        let mut more = false;
        for expired in &self.expired {
            more |= prune_batch(conn, expired).await?.1;
        }
        let took = clock::now().saturating_duration_since(began) * REST;
        let rest = if more { took } else { PRUNED.max(took) };
        conn.query(&self.sql.pruned, &[i64::try_from(rest.as_millis()).unwrap_or(i64::MAX).into()]).await?;
        conn.script("commit").await
    }
}

/// A message that is due.
#[derive(Debug)]
struct Due {
    id: String,
    key: Option<String>,
}

impl Due {
    fn read(row: &[Value]) -> Self {
        let text = |i: usize| row.get(i).and_then(Value::text).map(str::to_owned);
        Self { id: text(0).unwrap_or_default(), key: text(1) }
    }
}

/// Those that nobody else has locked. What a key has behind one that is about to be cancelled waits with it: the cancel
/// may be rolled back.
fn movable<'d>(due: &'d [Due], free: &HashSet<String>) -> Vec<&'d str> {
    let mut held = HashSet::new();
    let mut movable = Vec::with_capacity(due.len());
    for Due { id, key } in due {
        match key {
            Some(key) if held.contains(key) => {}
            _ if free.contains(id) => movable.push(id.as_str()),
            Some(key) => _ = held.insert(key),
            None => {}
        }
    }
    movable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_locked_holds_its_key_and_nothing_else() {
        let due = [("1", "a"), ("2", "b"), ("3", ""), ("4", "a"), ("5", "b"), ("6", "")];
        let due = due.map(|(id, key)| Due { id: id.into(), key: (!key.is_empty()).then(|| key.into()) });
        let free = |ids: &str| ids.chars().map(String::from).collect::<HashSet<_>>();
        assert_eq!(movable(&due, &free("123456")), ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(movable(&due, &free("23456")), ["2", "3", "5", "6"]);
        assert_eq!(movable(&due, &free("12456")), ["1", "2", "4", "5", "6"]);
        assert_eq!(movable(&due, &free("1")), ["1"]);
    }
}
