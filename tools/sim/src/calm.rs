//! After the last fault.

use std::time::Duration;

use tokio::time::sleep;

use crate::world::{Sim, World};

/// Between two looks.
const LOOK: u64 = 50;

/// Waits until everything is delivered and settled, as long as that may take.
pub(crate) async fn drained(sim: &Sim) {
    while sim.lock().busy > 0 {
        sleep(Duration::from_millis(LOOK)).await;
    }
    let deadline = sim.lock().now() + sim.plan.patience();
    loop {
        {
            let mut world = sim.lock();
            if !world.book.violations.is_empty() {
                return;
            }
            let Some(left) = world.left() else { break };
            if world.now() > deadline {
                return world.book.broken("drains", left);
            }
        }
        sleep(Duration::from_millis(LOOK)).await;
    }
    // What is still under way may show something more.
    sleep(Duration::from_millis(sim.plan.setup.publish_deadline)).await;
}

impl World {
    /// What is not over yet.
    fn left(&self) -> Option<String> {
        let tables = &self.db.tables;
        let open: Vec<u32> =
            tables.rows.iter().filter(|(seq, row)| !tables.is_over(**seq, row)).map(|(_, row)| row.message).collect();
        let parked: Vec<i64> = tables.parked.keys().copied().collect();
        (!open.is_empty() || !parked.is_empty()).then(|| {
            let cursor = tables.relay.as_ref().map(|r| &r.cursor);
            format!("not settled: {open:?}, parked: {parked:?}, cursor {cursor:?}")
        })
    }
}
