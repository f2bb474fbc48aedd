use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::process::output;

/// The testkit's label on every container, and the one that says which process started it.
const LABEL: &str = "outbox-test=1";
const OWNER: &str = "outbox-test-pid";

/// The servers that all tests share have names that begin like this; a test's own have none of ours.
const SHARED: &str = "outbox-test-";

/// Removes what killed tests left behind: containers that are not shared, and whose process is gone. Those of tests
/// that run at the same time stay.
pub(crate) fn sweep() -> Result {
    let mut left = Vec::new();
    let mut unowned = 0;
    for (id, name, owner) in all()? {
        if name.starts_with(SHARED) {
            continue;
        }
        match owner.as_str() {
            "" => unowned += 1,
            pid if Path::new("/proc").join(pid).exists() => {}
            _ => left.push(id),
        }
    }
    if unowned > 0 {
        println!("{unowned} containers of tests do not say whose they are; `cargo xtask clean` removes them");
    }
    remove(&left)
}

/// Removes all containers of tests, also the shared servers.
pub(crate) fn clean() -> Result {
    let ids: Vec<_> = all()?.into_iter().map(|(id, ..)| id).collect();
    println!("{} containers of tests", ids.len());
    remove(&ids)
}

/// Id, name, and the process that started it, if the label is there.
fn all() -> Result<Vec<(String, String, String)>> {
    let filter = format!("label={LABEL}");
    let format = format!("{{{{.ID}}}} {{{{.Names}}}} {{{{.Label \"{OWNER}\"}}}}");
    let listed = output(Command::new("docker").args(["ps", "--all", "--filter", &filter, "--format", &format]))?;
    let words = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?, words.next().unwrap_or_default()))
    };
    Ok(listed.lines().filter_map(words).collect())
}

fn remove(ids: &[String]) -> Result {
    if ids.is_empty() {
        return Ok(());
    }
    output(Command::new("docker").args(["rm", "--force", "--volumes"]).args(ids))?;
    println!("removed {}", ids.join(" "));
    Ok(())
}
