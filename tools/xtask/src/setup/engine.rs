use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::packages;
use crate::Result;
use crate::process::{as_root, is_root, output, output_within, run};

/// A dockerd that comes up on an old disk takes some seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Sees to a Docker engine that answers: the one that runs, or a dockerd of ours, which stays when xtask ends.
pub(crate) fn ensure() -> Result {
    let Err(why) = version() else { return Ok(()) };
    if why.to_lowercase().contains("permission denied") {
        return Err(format!("a Docker engine runs, but this user may not talk to it (see the group `docker`): {why}"));
    }
    if std::env::var_os("DOCKER_HOST").is_some() {
        return Err(format!("DOCKER_HOST names an engine that does not answer: {why}"));
    }
    packages::ensure(packages::ENGINE)?;
    packages::ensure(packages::CLIENT)?;
    // A package's installation may have started it.
    if version().is_err() {
        start()?;
    }
    Ok(())
}

/// The engine's version, if it answers. The client alone is not enough.
fn version() -> Result<String> {
    let mut ask = Command::new("docker");
    output_within(Duration::from_secs(20), ask.args(["version", "--format", "{{.Server.Version}}"]))
}

fn start() -> Result {
    if Path::new("/run/systemd/system").exists() {
        println!("setup: starting the Docker service");
        run(as_root("systemctl")?.args(["start", "docker"]))?;
        return wait(None, None);
    }
    if dockerd_runs_after_removing_stale_pids()? {
        println!("setup: waiting for the dockerd that runs");
        return wait(None, None);
    }
    let (path, log) = log_file()?;
    println!("setup: starting dockerd, which logs to {}", path.display());
    let log_too = log.try_clone().map_err(|e| format!("{}: {e}", path.display()))?;
    // In a session of its own: it outlives xtask and whatever terminal that runs in.
    let mut dockerd = as_root("setsid")?;
    dockerd.arg("dockerd");
    if !is_root() {
        dockerd.args(["--group", output(Command::new("id").arg("-gn"))?.trim()]);
    }
    dockerd.stdin(Stdio::null()).stdout(log).stderr(log_too);
    let child = dockerd.spawn().map_err(|e| format!("dockerd does not start: {e}"))?;
    wait(Some(child), Some(&path))
}

/// Waits until the engine answers; if it does not, the end of the log says why.
fn wait(mut child: Option<Child>, log: Option<&Path>) -> Result {
    let end = Instant::now() + PATIENCE;
    loop {
        let why = match version() {
            Ok(version) => {
                println!("setup: Docker engine {} answers", version.trim());
                return Ok(());
            }
            Err(why) => why,
        };
        let gone = child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        if gone.is_some() || Instant::now() >= end {
            let gone = gone.map_or_else(String::new, |status| format!("dockerd ended ({status}); "));
            return Err(format!("no Docker engine: {gone}{why}{}", log.map_or_else(String::new, tail)));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// After a machine's sudden end the files name processes that are gone or quite other ones, and dockerd refuses to
/// start.
fn dockerd_runs_after_removing_stale_pids() -> Result<bool> {
    let mut runs = false;
    for (file, program) in
        [("/var/run/docker.pid", "dockerd"), ("/var/run/docker/containerd/containerd.pid", "containerd")]
    {
        let Ok(pid) = fs::read_to_string(file) else { continue };
        let of = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("comm")).unwrap_or_default();
        if of.trim() == program {
            runs |= program == "dockerd";
        } else {
            println!("setup: removing {file}, whose process is not {program}");
            output(as_root("rm")?.args(["-f", file]))?;
        }
    }
    Ok(runs)
}

fn log_file() -> Result<(PathBuf, File)> {
    let name = "outbox-dockerd.log";
    let usual = Path::new("/var/log").join(name);
    if let Ok(file) = File::create(&usual) {
        return Ok((usual, file));
    }
    let path = std::env::temp_dir().join(name);
    let file = File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok((path, file))
}

fn tail(path: &Path) -> String {
    let log = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(20)..];
    format!("\nthe end of {}:\n{}", path.display(), last.join("\n"))
}
