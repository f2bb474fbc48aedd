//! `cargo xtask`: setup, tests, checks and benchmarks. Only std, and no crate of the workspace: it builds first, in
//! seconds, whatever state the rest is in.

mod bench;
mod ci;
mod clock;
mod containers;
mod features;
mod lean;
mod mutants;
mod process;
mod setup;
mod sim;
mod suites;

use std::process::ExitCode;

/// What went wrong, in words for the one who typed the command.
type Result<T = ()> = std::result::Result<T, String>;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup                          install, start and build what the tests need; quick when all is there
  test [SUITE...] [-- ARG...]    the tests, after setup; ARG... goes to the test programs
  ci                             everything that must hold on main
  sim --seeds N [--seed S]       the simulation; --seed replays one history
  mutants [WORD...]              mistakes planted into the engine's own code: what catches each (20 minutes)
  bench NAME                     a benchmark, after setup
  clean                          remove the tests' containers, also the shared servers
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["setup"] => setup::run(),
        ["test", rest @ ..] => suites::run(rest),
        ["ci"] => ci::run(),
        ["sim", rest @ ..] => sim::run(rest),
        ["mutants", rest @ ..] => mutants::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["clean"] => containers::clean(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}\nsuites:\n{}", suites::list());
            return ExitCode::SUCCESS;
        }
        other => Err(format!("`{}` is no command\n\n{USAGE}\nsuites:\n{}", other.join(" "), suites::list())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
