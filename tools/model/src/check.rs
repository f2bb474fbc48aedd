//! One run of the checker, and whether it ended as expected.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::actions::Act;
use crate::runs::Run;
use crate::state::State;

/// How to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) threads: usize,
    pub(crate) limit: Duration,
    /// "P1 completes" is tried from one state in this many, at least.
    pub(crate) sample: u64,
    /// Keeps states apart that differ in numbering only, so that a trace can be read.
    pub(crate) readable: bool,
}

/// What a run found.
pub(crate) struct Report {
    /// The properties that broke, joined; "holds", or "cut off" when the time was up first.
    pub(crate) found: String,
    /// Distinct states, after symmetry.
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    pub(crate) depth: usize,
    pub(crate) seconds: f64,
    pub(crate) as_expected: bool,
    /// The shortest way to each broken property.
    pub(crate) paths: Vec<(&'static str, Path<State, Act>)>,
}

pub(crate) fn check(run: &Run, effort: Effort) -> Report {
    let mut config = run.config.clone();
    config.symmetry = !effort.readable;
    config.sample = config.sample.max(effort.sample);
    let start = Instant::now();
    // A mutant may break several properties; the run ends when the one that it must break is found.
    let until = match run.breaks {
        Some(property) => HasDiscoveries::AnyOf([property].into()),
        None => HasDiscoveries::Any,
    };
    let checker = config.checker().threads(effort.threads).timeout(effort.limit).finish_when(until);
    let checker = checker.spawn_bfs().join();
    let mut paths: Vec<_> = checker.discoveries().into_iter().collect();
    paths.sort_by_key(|(name, _)| *name);
    let cut_off = start.elapsed() >= effort.limit && paths.is_empty();
    let names: Vec<_> = paths.iter().map(|(name, _)| *name).collect();
    Report {
        found: match (cut_off, names.is_empty()) {
            (true, _) => "cut off".into(),
            (false, true) => "holds".into(),
            (false, false) => names.join(" + "),
        },
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        seconds: start.elapsed().as_secs_f64(),
        as_expected: !cut_off && run.breaks.map_or(names.is_empty(), |property| names.contains(&property)),
        paths,
    }
}
