//! Transactions that overlap, step by step: every way in which four of them can enqueue and commit.

use std::collections::BTreeSet;

use super::StoreHarness;
use super::desk::{Handed, MANY, RELAY, Reader, keyed, message, reader, successor, tags};
use crate::suite::ensure;
use crate::{Outcome, Passed, Seen};
use outbox_core::StoreErrorKind;

const WRITERS: usize = 4;

/// A step of a writer: its first one begins and enqueues, its second one commits.
type Schedule = Vec<usize>;

/// Every order of the steps; the writers are numbered as they begin, since they are alike.
fn schedules() -> Vec<Schedule> {
    fn extend(steps: &mut Schedule, all: &mut Vec<Schedule>) {
        if steps.len() == 2 * WRITERS {
            return all.push(steps.clone());
        }
        let begun = steps.iter().collect::<BTreeSet<_>>().len();
        for writer in 0..WRITERS.min(begun + 1) {
            if steps.iter().filter(|w| **w == writer).count() < 2 {
                steps.push(writer);
                extend(steps, all);
                steps.pop();
            }
        }
    }
    let mut all = Vec::new();
    extend(&mut Vec::new(), &mut all);
    all
}

/// The writers of one schedule, each with one message of the same key.
struct Writers<'h, H: StoreHarness> {
    h: &'h H,
    name: String,
    open: [Option<H::Tx>; WRITERS],
    /// Who rolls back instead.
    undone: Option<usize>,
    committed: Vec<usize>,
    /// Pairs of writers of which the second began after the first had committed.
    ordered: Vec<(usize, usize)>,
}

impl<'h, H: StoreHarness> Writers<'h, H> {
    fn new(h: &'h H, name: String, undone: Option<usize>) -> Self {
        Self { h, name, open: [const { None }; WRITERS], undone, committed: Vec::new(), ordered: Vec::new() }
    }

    fn tag(&self, writer: usize) -> String {
        format!("{} of {}", writer, self.name)
    }

    async fn step(&mut self, writer: usize) -> Result<(), Seen> {
        match self.open[writer].take() {
            None => {
                let mut tx = self.h.begin().await;
                self.h.enqueue(&mut tx, keyed("k", &self.tag(writer))).await?;
                self.open[writer] = Some(tx);
                self.ordered.extend(self.committed.iter().map(|before| (*before, writer)));
            }
            Some(tx) if self.undone == Some(writer) => self.h.rollback(tx).await,
            Some(tx) => {
                self.h.commit(tx).await?;
                self.committed.push(writer);
            }
        }
        Ok(())
    }

    /// What was handed out must hold every committed message once.
    fn complete(&self, seen: &[Handed], when: &str) -> Result<(), Seen> {
        for writer in &self.committed {
            let tag = self.tag(*writer);
            let times = seen.iter().filter(|m| m.tag == tag).count();
            ensure!(times == 1, "{when}, {tag:?} was handed out {times} times: {:?}", tags(seen));
        }
        Ok(())
    }

    /// And those that were ordered, in order.
    fn in_order(&self, seen: &[Handed]) -> Result<(), Seen> {
        let at = |writer: usize| seen.iter().position(|m| m.tag == self.tag(writer));
        for &(before, after) in &self.ordered {
            if let (Some(first), Some(second)) = (at(before), at(after)) {
                ensure!(
                    first < second,
                    "{:?} began after {:?} was committed, and was handed out before it: {:?}",
                    self.tag(after),
                    self.tag(before),
                    tags(seen)
                );
            }
        }
        Ok(())
    }
}

fn name(i: usize, schedule: &Schedule) -> String {
    let steps: Vec<String> = schedule.iter().map(usize::to_string).collect();
    format!("schedule {i} ({})", steps.join(""))
}

/// One key's order, with a fetch at every point of the schedules, and small batches.
pub(super) async fn order<H: StoreHarness>(h: &H, reader: Reader<H::Store>) -> Outcome {
    if !H::CONCURRENT_WRITERS {
        return Ok(Passed::Kept);
    }
    for (i, schedule) in schedules().iter().enumerate() {
        let mut writers = Writers::new(h, name(i, schedule), (i % 5 == 4).then_some(i % WRITERS));
        let mut seen = Vec::new();
        for (at, writer) in schedule.iter().enumerate() {
            writers.step(*writer).await?;
            if at == i % schedule.len() {
                seen.extend(reader.fetch_in_order(1 + i % 2).await?);
            }
        }
        seen.extend(reader.drain_in_order(1 + i % 3).await?);
        writers.in_order(&seen)?;
        reader.deliver(&seen).await?;
    }
    Ok(Passed::Kept)
}

/// Late commits, with a fetch after every step.
pub(super) async fn late<H: StoreHarness>(h: H) -> Outcome {
    if !H::CONCURRENT_WRITERS {
        return alone(&h).await;
    }
    let reader = reader(&h).await?;
    for (i, schedule) in schedules().iter().enumerate() {
        let mut writers = Writers::new(&h, name(i, schedule), (i % 3 == 2).then_some(i % WRITERS));
        let mut seen = Vec::new();
        for writer in schedule {
            writers.step(*writer).await?;
            seen.extend(reader.fetch(MANY).await?);
            if i % 2 == 0 {
                reader.deliver(&seen).await?;
            }
        }
        writers.complete(&seen, "with a fetch after every step")?;
        reader.deliver(&seen).await?;
    }
    Ok(Passed::Kept)
}

/// Late commits, with a takeover at every point of the schedules.
pub(super) async fn late_after_takeover<H: StoreHarness>(h: H) -> Outcome {
    if !H::CONCURRENT_WRITERS {
        return alone(&h).await;
    }
    let mut reader = reader(&h).await?;
    for (i, schedule) in schedules().iter().enumerate() {
        let mut writers = Writers::new(&h, name(i, schedule), (i % 3 == 2).then_some(i % WRITERS));
        let mut seen = Vec::new();
        for (at, writer) in schedule.iter().enumerate() {
            writers.step(*writer).await?;
            if at == i % (schedule.len() - 1) {
                seen.extend(reader.drain(MANY).await?);
                reader.deliver(&seen).await?;
                reader = successor(&h).await?;
            }
        }
        let rest = reader.drain(MANY).await?;
        reader.deliver(&rest).await?;
        seen.extend(rest);
        writers.complete(&seen, "with a takeover")?;
    }
    Ok(Passed::Kept)
}

/// Where writers cannot overlap, the second one must be refused; then no message can commit late.
async fn alone<H: StoreHarness>(h: &H) -> Outcome {
    let (mut one, mut two) = (h.begin().await, h.begin().await);
    h.enqueue(&mut one, message("one")).await?;
    match h.enqueue(&mut two, message("two")).await {
        Ok(()) => ensure!(false, "two transactions enqueued at the same time, which is not declared"),
        Err(e) => {
            ensure!(e.kind() == StoreErrorKind::Conflict, "the second writer was refused with {:?}: {e}", e.kind())
        }
    }
    h.rollback(two).await;
    h.commit(one).await?;
    let reader = reader(h).await?;
    let all = reader.drain(MANY).await?;
    ensure!(tags(&all) == ["one"], "{:?} of {RELAY:?} handed out where [one] was committed", tags(&all));
    Ok(Passed::NotDeclared("concurrent writers"))
}
