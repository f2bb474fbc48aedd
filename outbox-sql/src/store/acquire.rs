use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outbox_core::log::{Cursor, Log, Scan};
use outbox_core::{AcquireRequest, Acquired, Lease, ParkedMessage, StartAt, StoreError, StoreErrorKind, clock};

use super::session::{Reader, Session, covers, own};
use super::{Era, PATIENCE, SqlStore, lock};
use crate::driver::Note;
use crate::migrate::check;
use crate::replay::Selection;
use crate::statements::Sql;
use crate::{Connection, Dialect, Rows, Value, ranges, retain, schedule};

impl SqlStore {
    pub(super) async fn try_acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let relay = request.relay.as_str();
        let waiting = self.standby.lock().await.remove(relay);
        let fresh = waiting.is_none();
        let mut conn = match waiting {
            Some(conn) => conn,
            None => self.driver.connect().await?,
        };
        // Every time: the tables may have been brought to another version while we stood by.
        check(&mut *conn, &self.sql).await?;
        if fresh {
            // Whatever the pool's options say: a crash must not undo an epoch.
            conn.script(&self.sql.durable).await?;
        }
        let now = i64::from(request.start == StartAt::Now);
        conn.query(&self.sql.ensure, &[relay.into(), now.into()]).await?;
        let sequence = self.check_sequence(&mut *conn, relay, None).await?;
        let token = new_token(request);
        let waited = self.waited(&mut *conn, request).await?;
        let topics = serde_json::json!(request.topics.patterns()).to_string();
        let lease_ms = i64::try_from(request.lease.as_millis()).unwrap_or(i64::MAX / 2_000);
        let params = [
            relay.into(),
            Value::Uuid(request.owner),
            Value::Uuid(token),
            lease_ms.into(),
            topics.into(),
            i64::from(waited.is_none()).into(),
        ];
        let rows = conn.query(&self.sql.acquire, &params).await?;
        let Some(row) = rows.first() else {
            let held = self.standing(&mut *conn, relay).await?.expires_in;
            self.standby.lock().await.insert(relay.to_owned(), conn);
            return Ok(Acquired::Held(held.max(waited.unwrap_or_default())));
        };
        lock(&self.tokenless).remove(relay);
        let lease = Lease { relay: relay.to_owned(), epoch: row[0].int().unwrap_or_default(), token };
        let cursor = self.cursor(row)?;
        let replay = selection(row)?;
        conn.script(&self.sql.setup_settle).await?;
        let parked = parked(&mut *conn, &self.sql, relay).await?;
        let session = self.take_over(request, lease.clone(), (&cursor, replay), sequence, conn).await?;
        lock(&self.sessions).insert(relay.to_owned(), Arc::new(session));
        Ok(Acquired::Yes(lease, parked))
    }

    /// The numbers that writers draw must lie above what was handed out, and come from the same sequence as then.
    pub(super) async fn check_sequence(
        &self,
        conn: &mut dyn Connection,
        relay: &str,
        known: Option<(i64, Option<i64>)>,
    ) -> Result<Option<i64>, StoreError> {
        let rows = conn.query(&self.sql.sequence, &[relay.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (last, now) = (row[0].int().unwrap_or(0), row[2].int());
        if known.is_some() && self.dialect == Dialect::Postgres && row[3].int().is_none() {
            // Another database than the one that this was read from: the next fetch learns that.
            return Ok(now);
        }
        let (position, then) = known.unwrap_or((row[1].int().unwrap_or(0), row[3].int()));
        let another = matches!((now, then), (Some(now), Some(then)) if now != then);
        if last >= position && !another {
            return Ok(now);
        }
        Err(StoreError::new(StoreErrorKind::SequenceWentBack, "check sequence").with_detail(format!(
            "relay {relay:?} has handed out {position}, writers are at {last} of a sequence that began anew (TRUNCATE \
             ... RESTART IDENTITY, or a restore): run `outbox reset {relay}` to deliver what the table holds from its \
             start, then start the relay again"
        )))
    }

    /// What is left of a full lease since no valid incarnation was seen; `None` where nobody has to wait. A crash of
    /// the database may have undone a renewal, so what it says of the expiry does not count.
    async fn waited(
        &self,
        conn: &mut dyn Connection,
        request: &AcquireRequest,
    ) -> Result<Option<Duration>, StoreError> {
        let standing = self.standing(conn, &request.relay).await?;
        let mut tokenless = lock(&self.tokenless);
        if standing.valid {
            tokenless.remove(&request.relay);
            return Ok(Some(Duration::ZERO));
        }
        // A second crash, or a holder since then, begins the wait anew.
        let known = tokenless.get(&request.relay).filter(|(_, era)| *era == standing.era).map(|(since, _)| *since);
        let since = known.unwrap_or_else(clock::now);
        tokenless.insert(request.relay.clone(), (since, standing.era));
        let left = standing.lease.max(request.lease).saturating_sub(clock::now().saturating_duration_since(since));
        Ok((!left.is_zero()).then_some(left))
    }

    async fn standing(&self, conn: &mut dyn Connection, relay: &str) -> Result<Standing, StoreError> {
        let rows = conn.query(&self.sql.standing, &[relay.into()]).await?;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let int = |i: usize| row.get(i).and_then(Value::int).unwrap_or(0);
        let millis = |i| Duration::from_millis(u64::try_from(int(i)).unwrap_or(0));
        let server = row.get(4).and_then(Value::text).unwrap_or_default().to_owned();
        Ok(Standing { expires_in: millis(0), valid: int(2) == 1, lease: millis(3), era: (int(1), server) })
    }

    fn cursor(&self, row: &[Value]) -> Result<Cursor, StoreError> {
        let unsettled = row[4].text().and_then(ranges::read);
        Ok(Cursor {
            position: row[1].int().unwrap_or(0),
            floor: row[2].int().unwrap_or(0),
            snapshot: row[3].text().map(str::to_owned),
            unsettled: unsettled.ok_or_else(|| unexpected(format!("the cursor reads {row:?}")))?,
        })
    }

    /// Reads everything that is not settled up to the position, in one statement.
    async fn take_over(
        &self,
        request: &AcquireRequest,
        lease: Lease,
        (cursor, replay): (&Cursor, Option<Selection>),
        sequence: Option<i64>,
        mut settling: Box<dyn Connection>,
    ) -> Result<Session, StoreError> {
        let mut conn = self.driver.connect().await?;
        conn.script(&self.sql.setup_fetch).await?;
        let mut params = own(&lease);
        params.extend([
            cursor.floor.into(),
            cursor.position.into(),
            Value::Text(cursor.snapshot.clone()),
            ranges::write(&cursor.unsettled, self.dialect).into(),
        ]);
        let mut rows = Rows::default();
        conn.messages(&self.sql.scan, &params, &mut rows).await?;
        // Fenced too: after a failover, this cursor would judge messages of another history.
        let snapshot = self.header(&rows)?;
        rows.messages.sort();
        let gap = |note: &Note| Some((note.seq, note.key.as_deref()?.parse().ok()?));
        let mut gaps: Vec<(i64, i64)> = rows.notes.iter().filter_map(gap).collect();
        gaps.sort_unstable();
        let all = rows.messages.finish();
        let mine = (0..all.len()).filter(|i| covers(&request.topics, replay.as_ref(), &all.get(*i)));
        let mine: Vec<usize> = mine.collect();
        let todo: Vec<i64> = mine.iter().map(|i| all.get(*i).seq()).collect();
        let now = clock::now();
        let retention = self.retention.as_ref().and_then(|sql| retain::Task::start(&self.driver, sql, self.keep));
        let next = schedule::catch_up(&mut *settling, &self.mover).await;
        let mover = schedule::Task::start(&self.driver, &self.mover, next);
        Ok(Session {
            lease,
            topics: request.topics.clone(),
            replay,
            patience: PATIENCE.min(request.lease / 3).max(Duration::from_millis(100)),
            log: Log::take_over(cursor, &Scan { snapshot, gaps: &gaps, todo: &todo }, now).into(),
            progress: Default::default(),
            backlog: std::sync::Mutex::new(mine.iter().map(|i| all.slot(*i)).collect()),
            fetching: Reader { conn, sequence, sequence_seen: now, bytes: 0 }.into(),
            settling: Some(settling).into(),
            _retention: retention,
            _mover: mover,
        })
    }
}

struct Standing {
    expires_in: Duration,
    /// Whether the incarnation is of this database as it runs now.
    valid: bool,
    lease: Duration,
    era: Era,
}

/// Never the same twice: it tells one incarnation of the database, and one lease, from any other.
pub(crate) fn new_token(request: &AcquireRequest) -> u128 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
    uuid::Uuid::now_v7().as_u128() ^ request.owner.rotate_left(64) ^ (count << 40)
}

/// Of what the attempts of a message ended in, as it is kept: one a line.
pub(crate) fn newest(errors: &str) -> String {
    errors.split('\n').next().unwrap_or_default().to_owned()
}

/// What is parked under a relay name.
pub(crate) async fn parked(
    conn: &mut dyn Connection,
    sql: &Sql,
    relay: &str,
) -> Result<Vec<ParkedMessage>, StoreError> {
    let parked = |row: Vec<Value>| ParkedMessage {
        seq: row[0].int().unwrap_or(0),
        key: row[1].text().map(str::to_owned),
        attempts: row[2].int().and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        due_in: Duration::from_millis(row[3].int().and_then(|n| u64::try_from(n).ok()).unwrap_or(0)),
        last_error: row[4].text().map(newest),
    };
    let rows = conn.query(&sql.parked, &[relay.into()]).await?;
    Ok(rows.into_iter().map(parked).collect())
}

/// What a name replays; to pass over a part of it would deliver what is not covered.
fn selection(row: &[Value]) -> Result<Option<Selection>, StoreError> {
    let Some(text) = row.get(5).and_then(Value::text) else { return Ok(None) };
    let read = Selection::read(text);
    read.map(Some).ok_or_else(|| unexpected(format!("the selection of this replay is not understood: {text}")))
}

pub(super) fn unexpected(what: impl ToString) -> StoreError {
    StoreError::new(StoreErrorKind::Unexpected, "acquire").with_detail(what.to_string())
}
