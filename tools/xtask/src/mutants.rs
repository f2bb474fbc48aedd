//! Mistakes in the engine's own code, planted one at a time into a copy of it: what catches each?

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::process::{cargo, output, repo};
use crate::{Result, setup};

/// A mistake, as one replacement in one file.
struct Mutant {
    name: &'static str,
    file: &'static str,
    /// Stands there once.
    right: &'static str,
    wrong: &'static str,
    caught_by: Check,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// So many histories of the simulation.
    Simulation,
    /// A test program on real databases.
    Test(&'static str),
}

const SEEDS: &str = "3000";
const OUTCOME: &str = "outbox-core/src/relay/machine/outcome.rs";
const DISPATCH: &str = "outbox-core/src/relay/machine/dispatch.rs";

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "settles before the acknowledgement",
        file: "outbox-core/src/relay/session.rs",
        right: "    let outcomes = Outcomes::new(batch.len());\n",
        wrong: "    let outcomes = Outcomes::new(batch.len());\n    (0..batch.len()).for_each(|i| outcomes.delivered(i));\n",
        caught_by: Check::Simulation,
    },
    Mutant {
        name: "no fence",
        file: "outbox-sql/src/sqlite.rs",
        right: "const OWN: &str = \"relay = $1 and epoch = $2 and token = $3\";",
        wrong: "const OWN: &str = \"relay = $1 and coalesce($2, $3) is not null\";",
        caught_by: Check::Test("conformance_sqlite"),
    },
    Mutant {
        name: "holes forgotten",
        file: "outbox-core/src/log/mod.rs",
        right: "snapshot.xmin() >= h.fence || ",
        wrong: "snapshot.xmin() <= h.fence || ",
        caught_by: Check::Simulation,
    },
    Mutant {
        name: "key not held",
        file: DISPATCH,
        right: "                KeyState::Parked => self.park_behind(m, now),\n",
        wrong: "                KeyState::Parked => return true,\n",
        caught_by: Check::Simulation,
    },
    Mutant {
        name: "attempts spent on an outage",
        file: OUTCOME,
        right: "let no_answer = !delivered && !alone && silent;",
        wrong: "let no_answer = !delivered && !alone && silent && self.breaker.is_closed();",
        caught_by: Check::Simulation,
    },
    Mutant {
        name: "shutdown drops what is in flight",
        file: "outbox-core/src/relay/machine.rs",
        right: "let quiet = self.flights.is_empty() && !self.fetching",
        wrong: "let quiet = (self.draining || self.flights.is_empty()) && !self.fetching",
        caught_by: Check::Simulation,
    },
    Mutant {
        name: "dead letter released early",
        file: DISPATCH,
        right: "                KeyState::Busy | KeyState::Held => key.waiting.push_back(slot()),\n",
        wrong: "                KeyState::Held => return true,\n                \
            KeyState::Busy => key.waiting.push_back(slot()),\n",
        caught_by: Check::Simulation,
    },
    Mutant {
        name: "schedule moved twice",
        file: "outbox-sql/src/schedule/mover.rs",
        right: "            Some(ms) => return Ok(idle(Duration::from_millis(ms))),\n        }\n        \
            conn.script(self.sql.begin).await?;\n",
        wrong: "            Some(ms) => return Ok(idle(Duration::from_millis(ms))),\n        }\n",
        caught_by: Check::Test("scheduled_faults"),
    },
    Mutant {
        name: "retry beside its first attempt",
        file: "outbox-core/src/relay/parking.rs",
        right: "let free = |lane: &Lane| !held(*lane) && lanes.get(lane).is_some_and(|q| q.after_flight <= oldest_flight);",
        wrong: "let free = |lane: &Lane| !held(*lane) && lanes.contains_key(lane) && oldest_flight > 0;",
        caught_by: Check::Simulation,
    },
    Mutant {
        name: "goes on past its lease",
        file: DISPATCH,
        right: "!self.draining && now + self.policy.longest_deadline() < self.plan.lease_until",
        wrong: "!self.draining && now < self.plan.lease_until + self.policy.lease",
        caught_by: Check::Simulation,
    },
];

/// Plants each in turn, or those whose name has these words. Fails where one is not caught, or does not fit the code
/// any more.
pub(crate) fn run(words: &[&str]) -> Result {
    setup::run()?;
    let chosen = || MUTANTS.iter().filter(|mutant| words.iter().all(|word| mutant.name.contains(word)));
    let copy = target()?.join("mutants");
    sync(&copy)?;
    // What is right has to pass, or nothing is shown.
    let mut checks: Vec<Check> = chosen().map(|mutant| mutant.caught_by).collect();
    checks.dedup();
    for check in checks {
        if caught(&copy, check)? {
            return Err("the code fails without any mistake".into());
        }
    }
    let plant = |mutant: &Mutant| -> Result<(String, PathBuf, String)> {
        let file = copy.join(mutant.file);
        let code = read(&file)?;
        Ok((planted(mutant, &code)?, file, code))
    };
    chosen().try_for_each(|mutant| plant(mutant).map(drop))?;
    println!("{:<38} {:<36} {:>6}  result", "mutant", "caught by", "s");
    let mut survived = Vec::new();
    for mutant in chosen() {
        let (wrong, file, code) = plant(mutant)?;
        write(&file, &wrong)?;
        let started = Instant::now();
        let caught = caught(&copy, mutant.caught_by);
        write(&file, &code)?;
        let caught = caught?;
        if !caught {
            survived.push(mutant.name);
        }
        let by = match mutant.caught_by {
            Check::Simulation => format!("the simulation, {SEEDS} seeds"),
            Check::Test(name) => format!("the tests {name}"),
        };
        let result = if caught { "caught" } else { "SURVIVED" };
        println!("{:<38} {by:<36} {:>6}  {result}", mutant.name, started.elapsed().as_secs());
    }
    if survived.is_empty() { Ok(()) } else { Err(format!("not caught: {}", survived.join(", "))) }
}

fn planted(mutant: &Mutant, code: &str) -> Result<String> {
    match code.matches(mutant.right).count() {
        1 => Ok(code.replace(mutant.right, mutant.wrong)),
        n => Err(format!(
            "`{}` stands {n} times in {}: mend the mutant {:?}",
            mutant.right.trim(),
            mutant.file,
            mutant.name
        )),
    }
}

/// Whether the check fails. A copy that does not build is an error.
fn caught(copy: &Path, check: Check) -> Result<bool> {
    let (build, run): (&[&str], &[&str]) = match check {
        Check::Simulation => (
            &["build", "--release", "--package", "sim"],
            &["run", "--release", "--package", "sim", "--", "--seeds", SEEDS],
        ),
        Check::Test(name) => (
            &["test", "--workspace", "--all-features", "--no-run", "--test", name],
            &["test", "--workspace", "--all-features", "--no-fail-fast", "--test", name],
        ),
    };
    let quiet = |args: &[&str]| -> Result<bool> {
        let mut command = cargo(args);
        // The same build folder: what is not ours is built already.
        command.current_dir(copy).env("CARGO_TARGET_DIR", target()?).env("RUST_BACKTRACE", "0");
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        Ok(status.map_err(|e| format!("cargo does not run: {e}"))?.success())
    };
    if !quiet(build)? {
        return Err(format!("the copy in {} does not build", copy.display()));
    }
    Ok(!quiet(run)?)
}

/// The files of the clone as they are now, those that are not committed too.
fn sync(copy: &Path) -> Result {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let files = output(Command::new("git").args(list).current_dir(repo()))?;
    for name in files.lines() {
        let (from, to) = (repo().join(name), copy.join(name));
        // One that was deleted and not committed yet is not there.
        let Ok(now) = std::fs::read(&from) else { continue };
        // What is the same keeps its time, so that it is not built again.
        if std::fs::read(&to).is_ok_and(|before| before == now) {
            continue;
        }
        let done = to.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&to, now));
        done.map_err(|e| format!("{}: {e}", to.display()))?;
    }
    Ok(())
}

/// Where cargo builds.
fn target() -> Result<PathBuf> {
    let xtask = std::env::current_exe().map_err(|e| format!("the path of xtask: {e}"))?;
    xtask.ancestors().nth(2).map(Path::to_path_buf).ok_or_else(|| "xtask is in no build folder".into())
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))
}

fn write(file: &Path, text: &str) -> Result {
    std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_fits_the_code() {
        for mutant in MUTANTS {
            let code = read(&repo().join(mutant.file)).expect("the file");
            planted(mutant, &code).expect("it fits");
        }
    }
}
