use outbox_core::log::Cursor;
use outbox_core::{SeqSet, Settlement, StoreError, StoreErrorKind};

use super::{Arc, Session, SimStore, lock, passes};
use crate::book::Who;
use crate::db::{Fence, SettleParams};
use crate::mutants::Mutant;
use crate::world::World;

impl SimStore {
    pub(super) async fn write(&self, session: &Arc<Session>, settlement: &Settlement) -> Result<(), StoreError> {
        let link = *session.settling.lock().await;
        let (cursor, whole) = {
            let mut memory = lock(&session.log);
            (memory.log.settle(settlement), memory.whole)
        };
        let dead = settlement.dead.iter().map(|d| d.seq);
        let params = SettleParams {
            cursor: self.spoil_cursor(cursor),
            done: settlement.unparked.iter().copied().chain(dead).collect(),
            parked: settlement.parked.clone(),
            dead: settlement.dead.clone(),
            durable: !settlement.dead.is_empty() && !self.sim.is(Mutant::DeadLetterAsync),
        };
        let (who, fence, mutant) = (self.who, session.fence(), self.sim.mutant);
        let max_attempts = self.sim.plan.setup.max_attempts;
        let statement = move |world: &mut World| {
            if !passes(mutant, Mutant::SettleUnfenced, world.db.owns(fence)) {
                world.note(format!("{who} settles under epoch {}, which is over", fence.epoch));
                return Err(StoreError::new(StoreErrorKind::LeaseLost, "settle"));
            }
            world.cut &= !whole;
            apply(world, who, fence, &params, max_attempts);
            Ok(())
        };
        if self.sim.is(Mutant::DeadLetterEarly) && !settlement.dead.is_empty() {
            let sim = self.sim.clone();
            tokio::spawn(async move { sim.call(who, "settle", Some(link), statement).await });
        } else {
            self.sim.call(who, "settle", Some(link), statement).await?;
        }
        let window = &mut lock(&session.log).window;
        window.remove_all(&settlement.delivered);
        let others = settlement.parked.iter().map(|p| p.seq).chain(settlement.dead.iter().map(|d| d.seq));
        others.chain(settlement.unparked.iter().copied()).for_each(|seq| window.remove_range(seq, seq));
        Ok(())
    }

    fn spoil_cursor(&self, mut cursor: Cursor) -> Cursor {
        match self.sim.mutant {
            Some(Mutant::UnsettledForgotten) => cursor.unsettled = SeqSet::new(),
            Some(Mutant::FloorAtPosition) => cursor.floor = cursor.position,
            _ => {}
        }
        cursor
    }

    pub(super) async fn give_up(&self, session: &Arc<Session>) -> Result<(), StoreError> {
        let link = *session.settling.lock().await;
        let (who, fence) = (self.who, session.fence());
        let cursor = {
            let log = &mut lock(&session.log).log;
            log.settle(&Settlement::default());
            log.cursor()
        };
        let params = SettleParams { cursor, done: vec![], parked: vec![], dead: vec![], durable: false };
        let statement = move |world: &mut World| {
            if world.db.owns(fence) != (true, true) {
                return Err(StoreError::new(StoreErrorKind::LeaseLost, "release"));
            }
            apply(world, who, fence, &params, 0);
            Ok(())
        };
        self.sim.call(who, "settle", Some(link), statement).await?;
        let statement = move |world: &mut World| {
            if world.db.owns(fence) != (true, true) {
                return Err(StoreError::new(StoreErrorKind::LeaseLost, "release"));
            }
            let now = world.now();
            world.db.release(now);
            world.note(format!("{who} releases epoch {}", fence.epoch));
            Ok(())
        };
        self.sim.call(who, "release", Some(link), statement).await
    }
}

/// The database carries the settlement out, and an observer checks what it says.
fn apply(world: &mut World, who: Who, fence: Fence, params: &SettleParams, max_attempts: u32) {
    world.wrote(who, fence, "a settlement");
    for p in &params.parked {
        let Some(row) = world.db.tables.rows.get(&p.seq).copied() else { continue };
        let counted = world.book.messages.get(&row.message).map_or(0, |m| m.failures);
        if p.attempts > counted {
            let what = format!("m{} has {} attempts on record, and failed {counted} times", row.message, p.attempts);
            world.book.broken("G5 outages", what);
        }
    }
    for d in &params.dead {
        let Some(row) = world.db.tables.rows.get(&d.seq).copied() else { continue };
        let Some(m) = world.book.messages.get(&row.message) else { continue };
        if !m.rejected && m.failures < max_attempts {
            let what = format!("m{} is given up ({}) after {} failures", row.message, d.reason, m.failures);
            world.book.broken("G7 poison", what);
        }
    }
    let now = world.now();
    let idle = params.done.is_empty() && params.parked.is_empty() && params.dead.is_empty();
    let before = world.db.tables.relay.as_ref().map(|r| r.cursor.clone());
    world.db.settle(params, now);
    if !idle || before.as_ref() != Some(&params.cursor) {
        let parked: Vec<_> = params.parked.iter().map(|p| (p.seq, p.attempts)).collect();
        let dead: Vec<_> = params.dead.iter().map(|d| d.seq).collect();
        let c = &params.cursor;
        world.note(format!(
            "{who} settles: position {} floor {} unsettled {:?} snapshot {} parked {parked:?} dead {dead:?} done {:?}",
            c.position,
            c.floor,
            c.unsettled.ranges(),
            c.snapshot.as_deref().unwrap_or("-"),
            params.done
        ));
    }
}
