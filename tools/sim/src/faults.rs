//! What befalls the database.

use std::time::Duration;

use tokio::time::sleep;

use crate::db::Lost;
use crate::mutants::Mutant;
use crate::plan::Fault;
use crate::world::{Sim, World};

/// Between two runs of retention.
const RETENTION: Duration = Duration::from_millis(300);

/// Crashes and failovers, in order.
pub(crate) async fn database(sim: Sim) {
    let strikes = |fault: &Fault| match *fault {
        Fault::ServerCrash { at, down, .. } | Fault::Failover { at, down, .. } => Some((at, down, fault.clone())),
        _ => None,
    };
    let mut strikes: Vec<_> = sim.faults(strikes).collect();
    strikes.sort_by_key(|(at, ..)| *at);
    for (at, down, fault) in strikes {
        sim.until(at).await;
        {
            let mut world = sim.lock();
            let now = world.now();
            match fault {
                Fault::Failover { lag, keep, skip, .. } => {
                    let lost = world.db.fail_over(now, lag, keep, skip);
                    // Nothing can keep the place of these.
                    for message in &lost.dead {
                        world.book.messages.entry(*message).or_default().undead = true;
                    }
                    world.struck("fails over", lost);
                }
                Fault::ServerCrash { keep, skip, .. } => {
                    let lost = world.db.crash(now, keep, skip);
                    world.struck("crashes", lost);
                }
                _ => continue,
            }
        }
        sleep(Duration::from_millis(down)).await;
        let mut world = sim.lock();
        world.db.start();
        world.book.disturb();
        world.note("the server is back".to_owned());
    }
}

impl World {
    fn struck(&mut self, what: &str, lost: Lost) {
        self.book.disturb();
        for message in &lost.messages {
            self.book.messages.entry(*message).or_default().undone = true;
        }
        let t = &self.db.tables;
        let (seq, xid, relay) = (t.next_seq, t.next_xid, t.relay.clone());
        self.note(format!("the server {what}: {lost:?}, next number {seq}, next id {xid}, {relay:?}"));
    }
}

/// Deletes what is settled, as soon as it may.
pub(crate) async fn retention(sim: Sim) {
    loop {
        sleep(RETENTION).await;
        let mut world = sim.lock();
        let now = world.now();
        if world.db.up {
            let deleted = world.db.delete_settled(now, sim.is(Mutant::RetentionByPosition));
            if deleted > 0 {
                world.note(format!("retention deletes {deleted}"));
            }
        }
    }
}
