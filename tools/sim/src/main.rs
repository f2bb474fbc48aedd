//! `sim`: plays histories, or shows that every mutant is found.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use sim::{Mutant, Plan, Violation, run, shrink};

const USAGE: &str = "usage: sim [--seeds N] [--seed S] [--mutants] [--mutant NAME]

  --seeds N       plays the seeds 0 to N-1, or N from --seed on
  --seed S        plays one seed and prints its history
  --mutants       plays the mutants on the seeds until each was found, and prints which seed found it
  --mutant NAME   breaks one rule of the protocol
";
/// Seeds of a run without `--seeds`.
const SEEDS: u64 = 5_000;
const THREADS: usize = 2;

#[derive(Debug, Default)]
struct Args {
    seeds: Option<u64>,
    seed: Option<u64>,
    mutants: bool,
    mutant: Option<Mutant>,
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (first, count) = (args.seed.unwrap_or(0), args.seeds.unwrap_or(SEEDS));
    let well = if args.mutants {
        mutants(first, count)
    } else if let (Some(seed), None) = (args.seed, args.seeds) {
        replay(seed, args.mutant)
    } else {
        many(first, count, args.mutant)
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut parsed = Args::default();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|e| format!("{text:?}: {e}"));
        match arg.as_str() {
            "--seeds" => parsed.seeds = Some(number(value()?)?),
            "--seed" => parsed.seed = Some(number(value()?)?),
            "--mutants" => parsed.mutants = true,
            "--mutant" => {
                let name = value()?;
                parsed.mutant = Some(Mutant::named(&name).ok_or_else(|| format!("no mutant is named {name:?}"))?);
            }
            _ => return Err(format!("{arg:?} is no argument")),
        }
    }
    Ok(parsed)
}

/// The first seed that breaks a promise, if there is one.
fn search(first: u64, count: u64, mutant: Option<Mutant>) -> Option<(u64, Violation)> {
    let (next, stop, found) = (AtomicU64::new(first), AtomicBool::new(false), Mutex::new(None::<(u64, Violation)>));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            if let Some(violation) = run(&Plan::new(seed), mutant).violations.into_iter().next() {
                stop.store(true, Ordering::Relaxed);
                let mut found = found.lock().expect("no thread panics");
                if found.as_ref().is_none_or(|(before, _)| seed < *before) {
                    *found = Some((seed, violation));
                }
            }
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| _ = scope.spawn(work)));
    found.into_inner().expect("no thread panics")
}

fn many(first: u64, count: u64, mutant: Option<Mutant>) -> bool {
    let began = Instant::now();
    let found = search(first, count, mutant);
    let took = began.elapsed().as_secs_f64();
    let Some((seed, violation)) = found else {
        println!("{count} seeds from {first}: no promise broken, {took:.1} s, {:.0} seeds/s", count as f64 / took);
        return true;
    };
    println!("seed {seed} breaks {}: {}", violation.promise, violation.what);
    let plan = shrink(&Plan::new(seed), mutant);
    let report = run(&plan, mutant);
    println!("\nthe smallest plan found, {} messages and {} faults:\n{plan}", plan.messages(), plan.faults());
    println!("its history:\n{}", report.history);
    for v in &report.violations {
        println!("{}: {}", v.promise, v.what);
    }
    false
}

fn replay(seed: u64, mutant: Option<Mutant>) -> bool {
    let plan = Plan::new(seed);
    let report = run(&plan, mutant);
    println!("{plan}\n{}\ndigest {:016x}", report.history, report.history.digest());
    for v in &report.violations {
        println!("{}: {}", v.promise, v.what);
    }
    report.violations.is_empty()
}

fn mutants(first: u64, count: u64) -> bool {
    let mut all = true;
    println!("{:<24}{:>6}  promise", "mutant", "seed");
    for &mutant in Mutant::ALL {
        match search(first, count, Some(mutant)) {
            Some((seed, v)) => println!("{:<24}{seed:>6}  {}", mutant.name(), v.promise),
            None => {
                all = false;
                println!("{:<24}{:>6}  survived {count} seeds", mutant.name(), "-");
            }
        }
    }
    all
}
