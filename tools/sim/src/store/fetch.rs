use outbox_core::log::{Fetched, Probe, Snapshot};
use outbox_core::{Batch, StoreError, StoreErrorKind, clock};

use super::acquire::unexpected;
use super::{Arc, Memory, Session, SimStore, batch, batch_of, lock, passes};
use crate::db::Row;
use crate::mutants::Mutant;
use crate::network::Link;

impl SimStore {
    pub(super) async fn fetch_next(&self, session: &Arc<Session>, limit: usize) -> Result<Batch, StoreError> {
        let left: Vec<_> = {
            let mut backlog = lock(&session.backlog);
            (0..limit).map_while(|_| backlog.pop()).collect()
        };
        if !left.is_empty() {
            return Ok(self.hand_out(&mut lock(&session.log), Batch::from_slots(left)));
        }
        let link = *session.fetching.lock().await;
        let mut probe = lock(&session.log).log.probe(clock::now());
        self.spoil_probe(&mut probe);
        let late = self.sim.is(Mutant::WritersAfterFetch);
        let asked = if probe.ask_writers && !late { Some(self.oldest_writer(link).await?) } else { None };
        let (rows, snapshot, xmax) = self.range(session, link, &probe, limit).await?;
        let oldest_writer = if probe.ask_writers && late { Some(self.oldest_writer(link).await?) } else { asked };
        let found: Vec<i64> = rows.iter().map(|(seq, _)| *seq).collect();
        let limit = if self.sim.is(Mutant::CutIgnored) { usize::MAX } else { limit };
        let mut memory = lock(&session.log);
        let snapshot = self.spoil_snapshot(&mut memory, snapshot, xmax)?;
        memory.whole = found.len() < limit || found.last().is_none_or(|last| *last > probe.after);
        memory.log.fetched(&Fetched { snapshot, oldest_writer, found: &found, limit }, clock::now());
        memory.log.handed_out(found.iter().copied());
        Ok(self.hand_out(&mut memory, batch(&rows)))
    }

    /// Notes what the relay has in hand, and that it is not more than was agreed.
    fn hand_out(&self, memory: &mut Memory, batch: Batch) -> Batch {
        batch.iter().for_each(|m| memory.window.insert(m.seq()));
        let held = memory.window.len();
        if held > self.sim.plan.setup.window as u64 {
            self.sim.lock().book.broken("window", format!("{} holds {held} messages that are not settled", self.who));
        }
        batch
    }

    /// One statement, and so one snapshot.
    async fn range(
        &self,
        session: &Arc<Session>,
        link: Link,
        probe: &Probe,
        limit: usize,
    ) -> Result<(Vec<(i64, Row)>, Snapshot, u64), StoreError> {
        let (who, fence, probe, mutant) = (self.who, session.fence(), probe.clone(), self.sim.mutant);
        let statement = move |world: &mut crate::world::World| {
            if !passes(mutant, Mutant::FetchUnfenced, world.db.owns(fence)) {
                world.note(format!("{who} fetches under epoch {}, which is over", fence.epoch));
                return Err(StoreError::new(StoreErrorKind::LeaseLost, "fetch"));
            }
            let rows = world.db.fetch(probe.after, &probe.holes, limit);
            world.cut |= rows.len() >= limit && rows.last().is_some_and(|(seq, _)| *seq <= probe.after);
            let snapshot = world.db.snapshot().map_err(unexpected)?;
            if !rows.is_empty() {
                let seen: Vec<_> = rows.iter().map(|(seq, row)| (*seq, row.message)).collect();
                world.note(format!(
                    "{who} fetches {seen:?} behind {} and in {:?}, snapshot {}, next {}",
                    probe.after,
                    probe.holes,
                    snapshot.as_str(),
                    snapshot.next_xid()
                ));
            }
            Ok((rows, snapshot, world.db.latest_completed() + 1))
        };
        self.sim.call(who, "fetch", Some(link), statement).await
    }

    async fn oldest_writer(&self, link: Link) -> Result<u64, StoreError> {
        self.sim.call(self.who, "writers", Some(link), |world| Ok(world.db.oldest_writer())).await
    }

    fn spoil_probe(&self, probe: &mut Probe) {
        match self.sim.mutant {
            Some(Mutant::HolesUnprobed) => probe.holes.truncate(1),
            Some(Mutant::NoHoles) => probe.holes.clear(),
            _ => {}
        }
    }

    fn spoil_snapshot(&self, memory: &mut Memory, found: Snapshot, xmax: u64) -> Result<Option<Snapshot>, StoreError> {
        let fence = match self.sim.mutant {
            Some(Mutant::FenceXmax) => xmax,
            Some(Mutant::FenceBeforeRead) => memory.earlier,
            _ => return Ok(Some(found)),
        };
        memory.earlier = found.next_xid();
        let running = found.as_str().splitn(3, ':').nth(2).unwrap_or_default();
        let text = format!("{}:{fence}:{running}", found.xmin());
        Snapshot::new(&text, fence.cast_signed() - 3).map(Some).map_err(unexpected)
    }

    pub(super) async fn read_again(&self, session: &Arc<Session>, seqs: &[i64]) -> Result<Batch, StoreError> {
        let link = *session.fetching.lock().await;
        let (who, fence, seqs, mutant) = (self.who, session.fence(), seqs.to_vec(), self.sim.mutant);
        let statement = move |world: &mut crate::world::World| {
            if !passes(mutant, Mutant::FetchUnfenced, world.db.owns(fence)) {
                return Err(StoreError::new(StoreErrorKind::LeaseLost, "read"));
            }
            let row = |seq: &i64| world.db.tables.rows.get_key_value(seq).map(|(seq, row)| (*seq, *row));
            let rows: Vec<(i64, Row)> = seqs.iter().filter_map(row).collect();
            world.note(format!("{who} reads {seqs:?} again"));
            Ok(rows)
        };
        let rows = self.sim.call(who, "read", Some(link), statement).await?;
        if self.sim.is(Mutant::TopicForgotten) {
            return Ok(batch_of(&rows, |row| format!("m{}", row.message)));
        }
        Ok(batch(&rows))
    }
}
