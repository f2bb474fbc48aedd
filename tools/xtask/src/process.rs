use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// The top of the clone that xtask is run in. Asked at run time: clones that share a target directory share the
/// program.
pub(crate) fn repo() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = PathBuf::from(here);
    here.ancestors().nth(2).unwrap_or(&here).to_path_buf()
}

/// The cargo that runs xtask, at the top of the clone.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(args).current_dir(repo());
    if std::env::var_os("CARGO_TERM_COLOR").is_none() && !std::io::stdout().is_terminal() {
        cargo.env("CARGO_TERM_COLOR", "never");
    }
    // Set by `cargo run` for xtask alone. A build script that watches one of them would run again because of it.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// Runs it with the terminal as its own; fails if it does.
pub(crate) fn run(command: &mut Command) -> Result {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.stdin(Stdio::null()).status().map_err(|e| format!("`{shown}` does not run: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed ({status})")) }
}

/// Runs it quietly, for its stdout; fails with its stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let done = command.stdin(Stdio::null()).output().map_err(|e| format!("`{shown}` does not run: {e}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(format!("`{shown}` failed ({}): {why}", done.status))
}

/// The same for a command with little output that may never end.
pub(crate) fn output_within(limit: Duration, command: &mut Command) -> Result<String> {
    let shown = show(command);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|e| format!("`{shown}` does not run: {e}"))?;
    let end = Instant::now() + limit;
    while let Ok(None) = child.try_wait() {
        if Instant::now() >= end {
            drop(child.kill());
            drop(child.wait());
            return Err(format!("`{shown}` did not end within {} s", limit.as_secs()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let done = child.wait_with_output().map_err(|e| format!("`{shown}`: {e}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(format!("`{shown}` failed: {}", String::from_utf8_lossy(&done.stderr).trim()))
}

/// Whether it runs and succeeds; says nothing.
pub(crate) fn succeeds(argv: &[&str]) -> bool {
    let [program, args @ ..] = argv else { return false };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether the program is on the PATH, or where daemons are (often not on a user's PATH).
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(daemons).any(|dir| dir.join(program).is_file())
}

/// The program as root: itself, or through sudo where that asks for no password.
pub(crate) fn as_root(program: &str) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if succeeds(&["sudo", "-n", "true"]) {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", program]);
        return Ok(sudo);
    }
    Err("this needs root, and sudo is missing or wants a password".into())
}

pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
