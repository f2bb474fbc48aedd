use std::time::Duration;

use outbox_core::{Batch, StoreError, StoreErrorKind, clock};

use super::{QueueStore, Reader, Session};
use crate::store::{bounded, lock};
use crate::{Rows, Value};

/// A fetch ends after this many bytes.
const FULL: usize = 16 << 20;
/// Between two looks at the sequence of an idle table.
const RECHECK: Duration = Duration::from_secs(1);

impl QueueStore {
    pub(super) async fn fetch_next(&self, session: &Session, limit: usize) -> Result<Batch, StoreError> {
        loop {
            // Anew each time: a parked message may be read in between.
            let reader = &mut *session.fetching.lock().await;
            // Bounded one by one: a name that covers little may have to read through a whole table first.
            let once = self.fetch_once(session, reader, limit);
            let (batch, found, more) = bounded("fetch", session.patience, once).await?;
            if found == 0 && clock::now().saturating_duration_since(reader.sequence_seen) >= RECHECK {
                let position = lock(&session.seen).position();
                let check = self.check_sequence(&mut *reader.conn, &session.lease.relay, Some(position));
                bounded("fetch", session.patience, check).await?;
                reader.sequence_seen = clock::now();
            }
            // Where all that was found is of other topics, there may be more behind it.
            if !batch.is_empty() || !more {
                return Ok(batch);
            }
        }
    }

    /// One statement, and so one view of the table: of two messages of a key, where the second is seen, the first is.
    /// Gives what is handed out, how many rows were found, and whether there may be more of them.
    async fn fetch_once(
        &self,
        session: &Session,
        reader: &mut Reader,
        limit: usize,
    ) -> Result<(Batch, usize, bool), StoreError> {
        let regions = lock(&session.seen).regions();
        let forgotten = regions.forgotten.map(|region| {
            let region = session.covered.iter().fold(region, |region, covered| format!("{region} and {covered}"));
            self.queue.forgotten.replace("{WHERE}", &region)
        });
        let others = regions.others.iter().map(|region| self.queue.part.replace("{WHERE}", region));
        let parts: Vec<String> = forgotten.into_iter().chain(others).collect();
        let sql = format!("{} union all select * from ({} limit $4) u", self.queue.header, parts.join(" union all "));
        // The server makes all of them before it sends one, so large messages are asked for in smaller numbers.
        let (count, bytes) = reader.latest;
        let limit = limit.min((2 * FULL * count.max(1)).checked_div(bytes).unwrap_or(limit).max(1));
        let mut params = session.own();
        params.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let mut rows = Rows::with_capacity(limit, bytes + bytes / 8).full_at(FULL);
        reader.conn.messages(&sql, &params, &mut rows).await?;
        owned(&rows)?;
        let more = rows.is_full() || rows.messages.len() >= limit;
        // The regions come in turn, so a limit cuts off the highest; they are sorted here all the same.
        rows.messages.sort();
        reader.latest = (rows.messages.len(), rows.messages.bytes());
        let all = rows.messages.finish();
        let foreign = all.iter().any(|m| !session.topics.matches(m.topic()));
        let (seqs, found) = (all.iter().map(|m| m.seq()).collect::<Vec<_>>(), all.len());
        let batch = if foreign {
            let mine = (0..all.len()).filter(|i| session.topics.matches(all.get(*i).topic()));
            Batch::from_slots(mine.map(|i| all.slot(i)).collect())
        } else {
            all
        };
        lock(&session.seen).read(batch.iter().map(|m| m.seq()), seqs.into_iter());
        Ok((batch, found, more))
    }

    pub(super) async fn read_again(&self, session: &Session, seqs: &[i64]) -> Result<Batch, StoreError> {
        let mut params = session.own();
        params.push(Value::Ints(seqs.to_vec()));
        let mut rows = Rows::default();
        let reader = &mut *session.fetching.lock().await;
        reader.conn.messages(&self.sql.read, &params, &mut rows).await?;
        owned(&rows)?;
        rows.messages.sort();
        Ok(rows.messages.finish())
    }
}

/// The note, first of all, says that the lease is ours.
fn owned(rows: &Rows) -> Result<(), StoreError> {
    match rows.notes.first() {
        Some(_) => Ok(()),
        None => Err(StoreError::new(StoreErrorKind::LeaseLost, "fetch")),
    }
}
