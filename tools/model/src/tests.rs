use std::io::Write;
use std::time::{Duration, Instant};

use crate::check::{Effort, check};
use crate::runs;

/// Every run that takes no more than a few seconds ends as expected. The table is written past the test harness, so
/// that it is seen when all is well.
#[test]
fn small_runs_end_as_expected() {
    let effort = Effort { threads: 2, limit: Duration::from_secs(120), sample: 8, readable: false };
    let (mut out, start) = (std::io::stderr().lock(), Instant::now());
    let (mut wrong, mut states) = (Vec::new(), 0);
    _ = writeln!(out, "{:<76} {:<18} {:<52} {:>9} {:>6}", "run", "expected", "found", "states", "s");
    for run in runs::all().iter().filter(|run| !run.large) {
        let r = check(run, effort);
        let expected = run.breaks.unwrap_or("holds");
        let mark = if r.as_expected { "" } else { " WRONG" };
        _ = writeln!(out, "{:<76} {expected:<18} {:<52} {:>9} {:>6.1}{mark}", run.name, r.found, r.states, r.seconds);
        states += r.states;
        if !r.as_expected {
            wrong.push(run.name);
        }
    }
    _ = writeln!(out, "{states} states in {:.1} s", start.elapsed().as_secs_f64());
    assert!(wrong.is_empty(), "not as expected: {wrong:?}");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = runs::all().iter().map(|run| run.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|w| w[0] != w[1]), "{names:?}");
}
