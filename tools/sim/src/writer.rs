//! The applications: transactions that write messages, and others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::sleep;

use crate::db::Gone;
use crate::mutants::Mutant;
use crate::plan::{Transaction, Write};
use crate::world::Sim;

/// Between two attempts to reach a server that is away.
const RETRY: u64 = 20;

/// The locks that serialise the writers of a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locks(BTreeMap<u8, Arc<Mutex<()>>>);

impl Locks {
    pub(crate) fn new(keys: u8) -> Self {
        Self((0..keys).map(|key| (key, Arc::default())).collect())
    }

    async fn lock(&self, writes: &[Write]) -> Vec<OwnedMutexGuard<()>> {
        let mut held = Vec::new();
        for (key, lock) in &self.0 {
            if writes.iter().any(|w| w.key == Some(*key)) {
                held.push(lock.clone().lock_owned().await);
            }
        }
        held
    }
}

/// Runs one transaction to its end.
pub(crate) async fn run(sim: Sim, tx: Transaction, locks: Locks) {
    sim.until(tx.at).await;
    let held = locks.lock(&tx.writes).await;
    if work(&sim, &tx).await.is_err() {
        sim.lock().note(format!("t{} is gone with the server", tx.number));
    }
    drop(held);
}

async fn work(sim: &Sim, tx: &Transaction) -> Result<(), Gone> {
    while !sim.lock().db.up {
        pause(RETRY).await;
    }
    let number = tx.number;
    {
        let mut world = sim.lock();
        let now = world.now();
        world.db.begin(number);
        if tx.early_id {
            let xid = world.db.assign_xid(number, now)?;
            world.note(format!("t{number} is {xid}"));
        }
    }
    for write in &tx.writes {
        pause(write.after).await;
        enqueue(sim, number, write).await?;
    }
    pause(tx.hold).await;
    let mut world = sim.lock();
    let now = world.now();
    if tx.commits {
        let messages = world.db.commit(number, now)?;
        world.book.committed(&messages);
        world.note(format!("t{number} commits {messages:?}"));
    } else {
        world.db.abort(number);
        world.note(format!("t{number} rolls back"));
    }
    Ok(())
}

/// The lock of the table, the transaction's id, the number, the row: in this order.
async fn enqueue(sim: &Sim, number: u32, write: &Write) -> Result<(), Gone> {
    let late_id = sim.is(Mutant::XidAfterSeq);
    {
        let mut world = sim.lock();
        let now = world.now();
        world.book.enqueue_begins(write.message);
        world.db.lock_table(number)?;
        if !late_id {
            world.db.assign_xid(number, now)?;
        }
    }
    if !late_id {
        pause(write.pause).await;
    }
    let seq = {
        let mut world = sim.lock();
        let now = world.now();
        world.db.draw_seq(number, now)?
    };
    if late_id {
        pause(write.pause).await;
    }
    let mut world = sim.lock();
    let now = world.now();
    let xid = world.db.assign_xid(number, now)?;
    if !write.undone {
        world.db.insert(number, seq, write.message, write.key)?;
    }
    world.note(format!("t{number} ({xid}) draws {seq} for m{}", write.message));
    Ok(())
}

async fn pause(ms: u64) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}
