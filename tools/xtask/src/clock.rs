use std::time::{Duration, Instant};

use crate::Result;

/// What was done so far, and for how long.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    steps: Vec<(&'static str, Duration)>,
}

impl Clock {
    /// Does a step and notes its time; its failure ends everything, so that it is followed by the summary.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result) -> Result {
        println!("\n=== {name}");
        let start = Instant::now();
        let done = work();
        self.steps.push((name, start.elapsed()));
        done.map_err(|why| {
            self.print(Some(name));
            format!("FAILED at {name}: {why}")
        })
    }

    /// One line per step.
    pub(crate) fn print(&self, failed: Option<&str>) {
        println!();
        for (name, took) in &self.steps {
            let verdict = if failed == Some(name) { "FAILED" } else { "ok" };
            println!("{verdict:<7} {name:<9} {:>7.1} s", took.as_secs_f64());
        }
    }
}
