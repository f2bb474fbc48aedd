//! Plays a plan.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use outbox_core::Relay;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::book::{Violation, Who};
use crate::history::History;
use crate::mutants::Mutant;
use crate::plan::Plan;
use crate::world::Sim;
use crate::writer::Locks;
use crate::{calm, faults, process, verdict, writer};

/// What a history came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The first is the cause as a rule.
    pub violations: Vec<Violation>,
    /// What happened.
    pub history: History,
}

impl Report {
    /// The promise that was broken first.
    pub fn broken(&self) -> Option<&'static str> {
        self.violations.first().map(|v| v.promise)
    }
}

/// Plays a plan from its start to its end. The same plan gives the same history.
pub fn run(plan: &Plan, mutant: Option<Mutant>) -> Report {
    let plan = Arc::new(plan.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing");
    let sim = runtime.block_on(async { Sim::new(&plan, mutant) });
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(sim.clone()))));
    drop(runtime);
    let mut world = sim.lock();
    if played.is_err() {
        world.book.broken("runs on", "it panicked".to_owned());
    }
    Report { violations: std::mem::take(&mut world.book.violations), history: std::mem::take(&mut world.history) }
}

async fn play(sim: Sim) {
    let plan = sim.plan.clone();
    // One each: what wakes many at once wakes them in any order.
    let (ends, ended): (Vec<_>, Vec<_>) = (0..plan.setup.processes).map(|_| oneshot::channel()).unzip();
    let locks = Locks::new(plan.setup.locked_keys);
    let writers: Vec<_> =
        plan.transactions.iter().map(|tx| tokio::spawn(writer::run(sim.clone(), tx.clone(), locks.clone()))).collect();
    let lives = (0..).zip(ended).map(|(process, end)| tokio::spawn(process::live(sim.clone(), process, end)));
    let lives: Vec<_> = lives.collect();
    let database = tokio::spawn(faults::database(sim.clone()));
    if plan.setup.retention {
        tokio::spawn(faults::retention(sim.clone()));
    }
    for writer in writers {
        writer.await.expect("a writer does not fail");
    }
    database.await.expect("the database does not fail");
    sim.until(plan.calm()).await;
    calm::drained(&sim).await;
    if !sim.lock().book.violations.is_empty() {
        return;
    }
    for end in ends {
        _ = end.send(());
    }
    for life in lives {
        life.await.expect("a process that fails is noted");
    }
    successor(&sim).await;
    verdict::check(&sim);
}

/// After everything was delivered and every process has shut down cleanly, a new one finds nothing to do.
async fn successor(sim: &Sim) {
    sleep(Duration::from_millis(1)).await;
    let who = Who { process: u8::MAX, life: 1 };
    let wait = Duration::from_millis(sim.plan.patience());
    let left = process::relay(sim, who).until_drained(wait).await;
    if !matches!(left, Ok(0)) {
        sim.lock().book.broken("G8 shutdown", format!("a successor found something to do: {left:?}"));
    }
}
