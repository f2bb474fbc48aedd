use outbox_core::log::Cursor;
use outbox_core::{Settlement, StoreError, StoreErrorKind};
use serde_json::json;

use super::session::Session;
use super::{SqlStore, lock};
use crate::{Connection, Value, ranges};

/// Characters of an error that are kept.
const ERROR_LENGTH: usize = 1_000;

impl SqlStore {
    pub(super) async fn write(&self, session: &Session, settlement: &Settlement) -> Result<(), StoreError> {
        // Taken out: after an error, or when this is dropped half-way, it goes, and its open transaction with it.
        let kept = &mut *session.settling.lock().await;
        let mut taken = kept.take().ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "settle"))?;
        let conn = &mut *taken;
        let (cursor, through) = {
            let mut log = lock(&session.log);
            (log.settle(settlement), log.settled_through())
        };
        let moved = !settlement.is_empty();
        let progress = lock(&session.progress).due(moved);
        let mut params = self.with_cursor(session, cursor, moved);
        let delivered_only =
            settlement.parked.is_empty() && settlement.unparked.is_empty() && settlement.dead.is_empty();
        let durable = !settlement.dead.is_empty();
        let rows = if delivered_only && progress.is_none() {
            run(conn, &self.sql.begin, &self.sql.settle, &params).await?
        } else {
            params.extend([Value::Int(progress.map(|p| p.0)), Value::Int(progress.map(|p| p.1))]);
            params.extend(side_tables(settlement));
            if durable {
                conn.script(&self.sql.durable).await?;
            }
            run(conn, &self.sql.begin, &self.sql.settle_full, &params).await?
        };
        let Some(at) = rows.first().and_then(|row| row[0].int()) else {
            return Err(StoreError::new(StoreErrorKind::LeaseLost, "settle"));
        };
        if durable {
            conn.script(&self.sql.lazy).await?;
        }
        *kept = Some(taken);
        let mut known = lock(&session.progress);
        known.wrote(progress);
        if moved {
            known.settled(through, at);
        }
        Ok(())
    }

    fn with_cursor(&self, session: &Session, cursor: Cursor, moved: bool) -> Vec<Value> {
        let mut params = session.own();
        params.extend([
            cursor.position.into(),
            cursor.floor.into(),
            Value::Text(cursor.snapshot),
            ranges::write(&cursor.unsettled, self.dialect).into(),
            i64::from(moved).into(),
        ]);
        params
    }

    pub(super) async fn give_up(&self, session: &Session) -> Result<(), StoreError> {
        let taken = session.settling.lock().await.take();
        let mut taken = taken.ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "release"))?;
        let conn = &mut *taken;
        // What was passed over since the last settlement; and whole, so that a shutdown repeats nothing, however many
        // keys it leaves waiting.
        let whole = {
            let mut log = lock(&session.log);
            log.settle(&Settlement::default());
            log.cursor()
        };
        run(conn, &self.sql.begin, &self.sql.settle, &self.with_cursor(session, whole, false)).await?;
        let progress = lock(&session.progress).due(false);
        let mut params = session.own();
        params.extend([Value::Int(progress.map(|p| p.0)), Value::Int(progress.map(|p| p.1))]);
        let rows = run(conn, &self.sql.begin, &self.sql.release, &params).await?;
        if rows.is_empty() {
            return Err(StoreError::new(StoreErrorKind::LeaseLost, "release"));
        }
        Ok(())
    }
}

/// Several statements are one transaction, which ends when the first of them returns no row.
pub(crate) async fn run(
    conn: &mut dyn Connection,
    begin: &str,
    sql: &[String],
    params: &[Value],
) -> Result<Vec<Vec<Value>>, StoreError> {
    let [one] = sql else {
        conn.script(begin).await?;
        let done = in_turn(conn, sql, params).await;
        let kept = done.as_ref().is_ok_and(|first| !first.is_empty());
        let ended = conn.script(if kept { "commit" } else { "rollback" }).await;
        return done.and_then(|first| ended.map(|()| first));
    };
    conn.query(one, params).await
}

async fn in_turn(conn: &mut dyn Connection, sql: &[String], params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
    let Some((first, others)) = sql.split_first() else { return Ok(Vec::new()) };
    let first = conn.query(first, params).await?;
    if !first.is_empty() {
        for statement in others {
            conn.query(statement, params).await?;
        }
    }
    Ok(first)
}

/// What is no longer parked, what is, and what is given up on.
fn side_tables(settlement: &Settlement) -> [Value; 3] {
    let dead_seqs = settlement.dead.iter().map(|d| d.seq);
    let done = Value::Ints(settlement.unparked.iter().copied().chain(dead_seqs).collect());
    let parked = settlement.parked.iter().map(|p| {
        json!({
            "seq": p.seq,
            "key": p.key,
            "attempts": p.attempts,
            "due_ms": u64::try_from(p.due_in.as_millis()).unwrap_or(u64::MAX >> 1),
            "error": p.last_error.as_deref().map(clean),
        })
    });
    let dead =
        settlement.dead.iter().map(|d| json!({ "seq": d.seq, "reason": clean(&d.reason), "attempts": d.attempts }));
    let list = |rows: Vec<serde_json::Value>| Value::from(serde_json::Value::Array(rows).to_string());
    [done, list(parked.collect()), list(dead.collect())]
}

/// Text that every database can keep, in one line: what failed attempts ended in is kept as lines, the newest first.
pub(crate) fn clean(text: &str) -> String {
    let line = |c| if matches!(c, '\n' | '\r') { ' ' } else { c };
    text.chars().filter(|c| *c != '\0').take(ERROR_LENGTH).map(line).collect()
}
