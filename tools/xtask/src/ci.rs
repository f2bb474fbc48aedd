use crate::clock::Clock;
use crate::process::{cargo, run as run_command};
use crate::{Result, features, lean, setup, sim, suites};

/// Everything that must hold on main, the cheap first; ends at the first failure.
pub(crate) fn run() -> Result {
    let mut clock = Clock::default();
    clock.step("format", || run_command(&mut cargo(["fmt", "--all", "--check"])))?;
    clock.step("setup", setup::run)?;
    clock.step("test", suites::run_all)?;
    clock.step("sim", sim::check)?;
    clock.step("clippy", || {
        let everything = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        run_command(&mut cargo(everything))
    })?;
    clock.step("doc", || {
        let everything = ["doc", "--workspace", "--no-deps", "--all-features"];
        run_command(cargo(everything).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    clock.step("features", features::check)?;
    clock.step("lean", lean::check)?;
    clock.print(None);
    Ok(())
}
