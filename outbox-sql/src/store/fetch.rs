use std::time::Duration;

use outbox_core::log::{Fetched, Probe, Snapshot};
use outbox_core::{Batch, StoreError, StoreErrorKind, clock};

use super::acquire::unexpected;
use super::session::{Reader, Session};
use super::{SqlStore, bounded, lock};
use crate::{Connection, Dialect, Rows, Value};

/// A fetch ends after this many bytes.
const FULL: usize = 16 << 20;
/// From this many holes on they are asked for as ranges.
const LISTED: u64 = 2_000;
/// Between two looks at the sequence of an idle table.
const RECHECK: Duration = Duration::from_secs(1);

impl SqlStore {
    pub(super) async fn fetch_next(&self, session: &Session, limit: usize) -> Result<Batch, StoreError> {
        let waiting = self.next_of_backlog(session, limit);
        if !waiting.is_empty() {
            return Ok(waiting);
        }
        loop {
            // Anew each time: a parked message may be read in between.
            let reader = &mut *session.fetching.lock().await;
            // Bounded one by one: a name that covers little may have to read through a whole table first.
            let once = self.fetch_once(session, reader, limit);
            let (batch, found, more) = bounded("fetch", session.patience, once).await?;
            if found == 0 && clock::now().saturating_duration_since(reader.sequence_seen) >= RECHECK {
                let known = (lock(&session.log).position(), reader.sequence);
                let check = self.check_sequence(&mut *reader.conn, &session.lease.relay, Some(known));
                bounded("fetch", session.patience, check).await?;
                reader.sequence_seen = clock::now();
            }
            // Where all that was found is of other topics, there may be more behind it.
            if !batch.is_empty() || !more {
                return Ok(batch);
            }
        }
    }

    /// The next of what a takeover found.
    fn next_of_backlog(&self, session: &Session, limit: usize) -> Batch {
        let mut backlog = lock(&session.backlog);
        let next = limit.min(backlog.len());
        Batch::from_slots(backlog.drain(..next).collect())
    }

    /// One statement, and so one snapshot. Gives what is handed out, how many rows were found, and whether there may be
    /// more of them.
    async fn fetch_once(
        &self,
        session: &Session,
        reader: &mut Reader,
        limit: usize,
    ) -> Result<(Batch, usize, bool), StoreError> {
        let probe = lock(&session.log).probe(clock::now());
        let oldest_writer = if probe.ask_writers { Some(self.oldest_writer(&mut *reader.conn).await?) } else { None };
        let (sql, params) = self.fetch_statement(session, &probe, limit);
        let mut rows = Rows::with_capacity(limit, reader.bytes + reader.bytes / 8).full_at(FULL);
        reader.conn.messages(sql, &params, &mut rows).await?;
        let snapshot = self.header(&rows)?;
        // As if the statement had asked for no more: it gives holes first, and each part in order.
        let limit = if rows.is_full() { rows.messages.len() } else { limit };
        rows.messages.sort();
        reader.bytes = rows.messages.bytes();
        let found: Vec<i64> = rows.messages.seqs().collect();
        let all = rows.messages.finish();
        let foreign = all.iter().any(|m| !session.covers(&m));
        let batch = if foreign {
            let mine = (0..all.len()).filter(|i| session.covers(&all.get(*i)));
            Batch::from_slots(mine.map(|i| all.slot(i)).collect())
        } else {
            all
        };
        let mut log = lock(&session.log);
        log.fetched(&Fetched { snapshot, oldest_writer, found: &found, limit }, clock::now());
        log.handed_out(batch.iter().map(|m| m.seq()));
        Ok((batch, found.len(), found.len() >= limit))
    }

    fn fetch_statement(&self, session: &Session, probe: &Probe, limit: usize) -> (&str, Vec<Value>) {
        let mut params = session.own();
        params.push(probe.after.into());
        params.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let sql = if probe.holes.is_empty() {
            &self.sql.fetch
        } else if probe.hole_seqs() <= LISTED {
            params.push(Value::Ints(probe.holes.iter().flat_map(|(lo, hi)| *lo..=*hi).collect()));
            &self.sql.fetch_holes
        } else {
            params.push(Value::Ints(probe.holes.iter().map(|h| h.0).collect()));
            params.push(Value::Ints(probe.holes.iter().map(|h| h.1).collect()));
            &self.sql.fetch_ranges
        };
        (sql, params)
    }

    /// The note, first of all, that says that the lease is ours, with the snapshot of the statement.
    pub(super) fn header(&self, rows: &Rows) -> Result<Option<Snapshot>, StoreError> {
        let note = rows.notes.first().ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, "fetch"))?;
        match (self.dialect, &note.topic) {
            (Dialect::Postgres, Some(text)) => Ok(Some(Snapshot::new(text, note.seq).map_err(unexpected)?)),
            (Dialect::Postgres, None) => Err(unexpected("the fetch returned no snapshot")),
            (Dialect::Mysql | Dialect::Sqlite, _) => Ok(None),
        }
    }

    /// The oldest transaction that writes to the table; `u64::MAX` where there is none.
    async fn oldest_writer(&self, conn: &mut dyn Connection) -> Result<u64, StoreError> {
        let rows = conn.query(&self.sql.writers, &[]).await?;
        let row = rows.first().ok_or_else(|| unexpected("the locks were not listed"))?;
        let (age, text) = (row[0].int().unwrap_or(0), row[1].text().unwrap_or_default());
        let next = Snapshot::new(text, age).map_err(unexpected)?.next_xid();
        Ok(match row[2].int() {
            Some(age) => next.saturating_sub(age.unsigned_abs()),
            None => u64::MAX,
        })
    }

    pub(super) async fn read_again(&self, session: &Session, seqs: &[i64]) -> Result<Batch, StoreError> {
        let mut params = session.own();
        params.push(Value::Ints(seqs.to_vec()));
        let mut rows = Rows::default();
        let reader = &mut *session.fetching.lock().await;
        reader.conn.messages(&self.sql.read, &params, &mut rows).await?;
        self.header(&rows)?;
        rows.messages.sort();
        Ok(rows.messages.finish())
    }
}
