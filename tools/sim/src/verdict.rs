//! What an observer says at the end, with the ledger that every other test uses too.

use std::collections::BTreeSet;

use outbox_conformance::{Expected, Ledger};

use crate::store::key;
use crate::world::Sim;

pub(crate) fn check(sim: &Sim) {
    let mut world = sim.lock();
    let ledger = Ledger::new();
    let dead: BTreeSet<u32> = world.db.tables.dead.iter().map(|(_, message)| *message).collect();
    for (id, m) in &world.book.messages {
        let Some(committed) = m.committed else { continue };
        let mut expected = Expected::new(id, &id.to_be_bytes());
        if let Some(k) = m.key {
            expected = expected.key(key(k));
            // Of the other keys only pairs have an order; it was checked at each arrival.
            if k < sim.plan.setup.locked_keys && !m.undead {
                expected = expected.order(committed << 32 | u64::from(*id));
            }
        }
        ledger.committed(&expected);
        if m.undone {
            ledger.undone(id);
        }
    }
    for (message, k) in &world.broker.stored {
        ledger.received(message, k.map(key).as_deref(), &message.to_be_bytes());
    }
    dead.iter().for_each(|message| ledger.dead_letter(message));
    let found = ledger.check();
    let mut holds = |holds: bool, promise, what: String| {
        if !holds {
            world.book.broken(promise, what);
        }
    };
    holds(found.invented.is_empty(), "G1 atomic", format!("invented: {:?}", found.invented));
    holds(found.lost.is_empty(), "G2 at least once", format!("lost: {:?}", found.lost));
    holds(found.corrupted.is_empty(), "G2 at least once", format!("corrupted: {:?}", found.corrupted));
    holds(found.inversions.is_empty(), "G3 order", format!("{:?}", found.inversions));
}
