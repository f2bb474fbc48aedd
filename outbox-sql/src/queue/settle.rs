use outbox_core::{Settlement, StoreError, StoreErrorKind};

use super::seen::listed;
use super::{QueueStore, Session};
use crate::retain::LONGEST;
use crate::store::lock;
use crate::store::settle::clean;
use crate::{Connection, Value, literals};

/// Numbers or rows of one statement: a condition that is much longer is not looked up but scanned for.
const CHUNK: usize = 500;
/// Rows of one statement that have texts, which take up to 8 kB each.
const TEXTS: usize = 50;
/// Bytes of one script.
const SCRIPT: usize = 256 << 10;
/// A deadlock rolls the whole transaction back, and what is in flight is still known: so it is tried again.
const TRIES: usize = 5;

impl QueueStore {
    pub(super) async fn write(&self, session: &Session, settlement: &Settlement) -> Result<(), StoreError> {
        // Taken out: after an error, or when this is dropped half-way, it goes, and its open transaction with it.
        let kept = &mut *session.settling.lock().await;
        let mut conn = kept.take().ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "settle"))?;
        let statements = joined(self.statements(session, settlement));
        for tries in (0..TRIES).rev() {
            match self.in_transaction(&mut *conn, session, &statements).await {
                Ok(true) => break,
                Ok(false) => return Err(StoreError::new(StoreErrorKind::LeaseLost, "settle")),
                Err(e) if e.kind() == StoreErrorKind::Conflict && tries > 0 => conn.script("rollback").await?,
                Err(e) => return Err(e),
            }
        }
        lock(&session.seen).settled(settlement);
        self.prune_behind(session, &mut *conn).await?;
        *kept = Some(conn);
        Ok(())
    }

    /// `false`: the lease is not ours, and nothing was changed.
    pub(super) async fn in_transaction(
        &self,
        conn: &mut dyn Connection,
        session: &Session,
        statements: &[String],
    ) -> Result<bool, StoreError> {
        conn.script(&self.sql.begin).await?;
        // Locked until the commit: nobody acquires the name meanwhile.
        if conn.query(&self.queue.own, &session.own()).await?.is_empty() {
            conn.script("rollback").await?;
            return Ok(false);
        }
        for script in statements {
            conn.script(script).await?;
        }
        conn.script("commit").await?;
        Ok(true)
    }

    fn statements(&self, session: &Session, settlement: &Settlement) -> Vec<String> {
        let queue = &self.queue;
        let relay = [Value::from(session.lease.relay.as_str())];
        let mut all = Vec::new();
        let mut each = |sql: &str, name: &str, chunks: &[String]| {
            all.extend(chunks.iter().map(|chunk| literals(sql, &relay).replace(name, chunk)));
        };
        // Number by number: a range would wait for the writers of what it does not hold, and delete what they commit.
        let delivered: Vec<i64> = settlement.delivered.ranges().iter().flat_map(|(lo, hi)| *lo..=*hi).collect();
        let delivered = chunks(&delivered, listed);
        let unparked = chunks(&settlement.unparked, listed);
        if self.keep.is_some() {
            each(&queue.keep, "{AMONG}", &delivered);
            each(&queue.keep, "{AMONG}", &unparked);
            each(&queue.keep_parked, "{AMONG}", &unparked);
        }
        each(&queue.delete, "{AMONG}", &delivered);
        each(&queue.delete, "{AMONG}", &unparked);
        each(&queue.delete_parked, "{AMONG}", &unparked);
        let dead = chunks_of(TEXTS, &settlement.dead, |dead| {
            derived(dead.iter().map(|d| {
                let params = [d.seq.into(), clean(&d.reason).into(), i64::from(d.attempts).into()];
                literals("select $1 seq, $2 reason, $3 attempts", &params)
            }))
        });
        each(&queue.bury, "{ROWS}", &dead);
        each(&queue.bury_parked, "{ROWS}", &dead);
        let parked = chunks_of(TEXTS, &settlement.parked, |parked| {
            derived(parked.iter().map(|p| {
                let due = i64::try_from(p.due_in.min(LONGEST).as_millis()).unwrap_or(i64::MAX / 2_000);
                let error = Value::Text(p.last_error.as_deref().map(clean));
                let params = [p.seq.into(), i64::from(p.attempts).into(), due.into(), error];
                literals("select $1 seq, $2 attempts, $3 due_ms, $4 error", &params)
            }))
        });
        each(&queue.park_errors, "{ROWS}", &parked);
        each(&queue.park_again, "{ROWS}", &parked);
        each(&queue.park, "{ROWS}", &parked);
        let gone: Vec<i64> = settlement.dead.iter().map(|d| d.seq).collect();
        let gone = chunks(&gone, listed);
        each(&queue.delete_parked, "{AMONG}", &gone);
        each(&queue.delete, "{AMONG}", &gone);
        let parked: Vec<i64> = settlement.parked.iter().map(|p| p.seq).collect();
        each(&queue.delete, "{AMONG}", &chunks(&parked, listed));
        if !settlement.is_empty() {
            all.push(literals(&queue.progress, &relay));
        }
        let mut params = session.own();
        params.extend([lock(&session.seen).position().into(), i64::from(!settlement.is_empty()).into()]);
        all.push(literals(&queue.renew, &params));
        all
    }

    pub(super) async fn give_up(&self, session: &Session) -> Result<(), StoreError> {
        let taken = session.settling.lock().await.take();
        let mut conn = taken.ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "release"))?;
        let [own, release] = self.sql.release.as_slice() else { return Ok(()) };
        conn.script(&self.sql.begin).await?;
        let ours = !conn.query(own, &session.own()).await?.is_empty();
        conn.query(release, &session.own()).await?;
        if ours {
            conn.script(&literals(&self.queue.given_up, &session.own()[..1])).await?;
        }
        conn.script("commit").await?;
        if ours { Ok(()) } else { Err(StoreError::new(StoreErrorKind::LeaseLost, "release")) }
    }
}

/// Few round trips, and no packet that a server would refuse.
fn joined(statements: Vec<String>) -> Vec<String> {
    let mut scripts: Vec<String> = Vec::new();
    for sql in statements {
        match scripts.last_mut().filter(|script| script.len() + sql.len() < SCRIPT) {
            Some(script) => *script += &format!("; {sql}"),
            None => scripts.push(sql),
        }
    }
    scripts
}

fn chunks<T>(all: &[T], text: impl Fn(&[T]) -> String) -> Vec<String> {
    chunks_of(CHUNK, all, text)
}

fn chunks_of<T>(most: usize, all: &[T], text: impl Fn(&[T]) -> String) -> Vec<String> {
    all.chunks(most).map(text).collect()
}

/// A table of these rows, as a subquery.
fn derived(rows: impl Iterator<Item = String>) -> String {
    format!("({})", rows.collect::<Vec<_>>().join(" union all "))
}
