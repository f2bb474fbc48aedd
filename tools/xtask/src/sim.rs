use crate::Result;
use crate::process::{cargo, run as run_command};

/// Histories in CI.
const SEEDS: &str = "5000";

/// The simulation with these arguments, in release: a history is thousands of steps.
pub(crate) fn run(args: &[&str]) -> Result {
    run_command(cargo(["run", "--quiet", "--release", "--package", "sim", "--"]).args(args))
}

/// What holds on main: no seed breaks a promise, and every mutant is caught.
pub(crate) fn check() -> Result {
    run(&["--seeds", SEEDS])?;
    run(&["--mutants"])
}
