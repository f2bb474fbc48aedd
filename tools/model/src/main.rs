//! An exhaustive check of the relay's protocol on Postgres; README.md says what is modelled and what is assumed.
//!
//! `model [--list] [--small] [--trace] [--threads N] [--minutes N] [--sample N] [NAME-PART...]` prints one CSV line a
//! run, and ends with status 1 if one is not as expected.

mod acquire;
mod actions;
mod check;
mod config;
mod faults;
mod fetch;
mod mutant;
mod properties;
mod runs;
mod settle;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod trace;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use check::{Effort, check};

/// What the command line asks for.
struct Options {
    list: bool,
    small: bool,
    effort: Effort,
    /// Parts of names; none: every run.
    names: Vec<String>,
}

impl Options {
    /// `None`: an option that is not known, or one whose number is missing.
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let effort = Effort { threads: 2, limit: Duration::from_secs(420), sample: 1, readable: false };
        let mut options = Self { list: false, small: false, effort, names: Vec::new() };
        while let Some(arg) = args.next() {
            let mut number = || args.next()?.parse::<f64>().ok();
            match arg.as_str() {
                "--list" => options.list = true,
                "--small" => options.small = true,
                "--trace" => options.effort.readable = true,
                "--threads" => options.effort.threads = number()? as usize,
                "--minutes" => options.effort.limit = Duration::try_from_secs_f64(number()? * 60.0).ok()?,
                "--sample" => options.effort.sample = number()?.max(1.0) as u64,
                option if option.starts_with("--") => return None,
                _ => options.names.push(arg),
            }
        }
        Some(options)
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("usage: model [--list] [--small] [--trace] [--threads N] [--minutes N] [--sample N] [NAME-PART...]");
        return ExitCode::from(2);
    };
    let mut runs = runs::all();
    runs.retain(|run| options.names.is_empty() || options.names.iter().any(|name| run.name.contains(name.as_str())));
    runs.retain(|run| !(options.small && run.large));
    if options.list {
        runs.iter().for_each(|run| println!("{}", run.name));
        return ExitCode::SUCCESS;
    }
    println!("run,expected,found,states,transitions,depth,seconds,as_expected");
    let mut good = !runs.is_empty();
    for run in &runs {
        let r = check(run, options.effort);
        let expected = run.breaks.unwrap_or("holds");
        println!(
            "\"{}\",\"{expected}\",\"{}\",{},{},{},{:.1},{}",
            run.name, r.found, r.states, r.transitions, r.depth, r.seconds, r.as_expected
        );
        good &= r.as_expected;
        if options.effort.readable {
            r.paths.into_iter().for_each(|(property, path)| trace::print(property, path));
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
