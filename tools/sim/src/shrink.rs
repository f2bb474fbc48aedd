//! Takes out of a plan what a violation does not need.

use crate::mutants::Mutant;
use crate::plan::Plan;
use crate::run::run;

/// How many plans are tried.
const TRIES: usize = 2_000;

/// A plan as small as can be found that breaks the same promise.
pub fn shrink(plan: &Plan, mutant: Option<Mutant>) -> Plan {
    let Some(promise) = run(plan, mutant).broken() else { return plan.clone() };
    let mut shrinking = Shrinking { best: plan.clone(), mutant, promise, tries: 0 };
    while shrinking.pass() {}
    shrinking.best
}

struct Shrinking {
    best: Plan,
    mutant: Option<Mutant>,
    promise: &'static str,
    tries: usize,
}

impl Shrinking {
    /// One round of everything; says whether it got any smaller.
    fn pass(&mut self) -> bool {
        let mut smaller = self.drop_some(|plan| plan.faults.len(), |plan, from, to| _ = plan.faults.drain(from..to));
        smaller |=
            self.drop_some(|plan| plan.transactions.len(), |plan, from, to| _ = plan.transactions.drain(from..to));
        smaller |= self.change(|plan| plan.setup.processes = plan.setup.processes.saturating_sub(1).max(1));
        smaller |= self.change(|plan| plan.setup.retention = false);
        smaller |= self.change(|plan| plan.setup.pooler = false);
        for i in 0..self.best.transactions.len() {
            smaller |= self.change(|plan| plan.transactions[i].writes.truncate(1));
        }
        smaller
    }

    /// Takes runs of items out: long ones first, then single ones.
    fn drop_some(&mut self, len: impl Fn(&Plan) -> usize, drop: impl Fn(&mut Plan, usize, usize)) -> bool {
        let mut smaller = false;
        let mut run = len(&self.best).div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < len(&self.best) {
                let end = (at + run).min(len(&self.best));
                if self.change(|plan| drop(plan, at, end)) {
                    smaller = true;
                } else {
                    at += run;
                }
            }
            if run == 1 {
                return smaller;
            }
            run = run.div_ceil(2);
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.best.clone();
        change(&mut plan);
        let same = format!("{plan:?}") == format!("{:?}", self.best);
        if same || self.tries >= TRIES {
            return false;
        }
        self.tries += 1;
        let fails = run(&plan, self.mutant).broken() == Some(self.promise);
        if fails {
            self.best = plan;
        }
        fails
    }
}
