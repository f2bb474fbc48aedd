use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use testkit::Process;
use tokio::time::sleep;

use crate::relay::Acknowledged;
use crate::{Bug, Trap};

/// An event that must come.
pub(super) const SOON: Duration = Duration::from_secs(60);
/// How often the processes' words are looked at: what a recovery is measured by.
const LOOK: Duration = Duration::from_millis(5);

/// Two relay processes of one name.
#[derive(Debug)]
pub(super) struct Relays {
    /// Has the lease at the beginning, and the trap.
    pub(super) holder: Process,
    pub(super) standby: Process,
}

/// How relay processes are started.
#[derive(Debug, Clone)]
pub(super) struct Start {
    /// `env!("CARGO_BIN_EXE_faults-relay")`.
    pub(super) program: PathBuf,
    pub(super) database: String,
    pub(super) broker: String,
    pub(super) trap: Option<Trap>,
    /// Of the holder: it parks the messages of some keys.
    pub(super) refuses: bool,
    pub(super) bug: Option<Bug>,
}

impl Relays {
    /// Returns when one holds the lease, and the other one stands by.
    pub(super) async fn start(start: &Start) -> Self {
        let holder = spawn(start, true);
        holder.wait_line("Acquired", SOON).await;
        let standby = spawn(start, false);
        standby.wait_line("Standby", SOON).await;
        Self { holder, standby }
    }

    /// Waits until one of them has had a message acknowledged that was written at this time or later (microseconds
    /// since 1970). Gives when that was.
    pub(super) async fn acknowledged(&self, written: i64, within: Duration) -> Option<Instant> {
        let end = Instant::now() + within;
        let mut read = [0, 0];
        loop {
            for (process, read) in [&self.holder, &self.standby].into_iter().zip(&mut read) {
                let lines = process.lines_after(*read);
                *read += lines.len();
                let mut said = lines.iter().filter_map(|line| line.parse::<Acknowledged>().ok());
                if said.any(|said| said.newest >= written) {
                    return Some(Instant::now());
                }
            }
            if Instant::now() >= end {
                return None;
            }
            sleep(LOOK).await;
        }
    }

    /// Whether one of them has said a line that begins like this.
    pub(super) fn said(&self, begins: &str) -> bool {
        let said = |process: &Process| process.lines_after(0).iter().any(|line| line.starts_with(begins));
        said(&self.holder) || said(&self.standby)
    }

    /// How often one of them has taken the lease.
    pub(super) fn acquired(&self) -> usize {
        let lines = [&self.holder, &self.standby].into_iter().flat_map(|process| process.lines_after(0));
        lines.filter(|line| line.starts_with("Acquired")).count()
    }

    /// Stops those that still run; they must end in order.
    pub(super) async fn stop(mut self, holder_is_gone: bool) -> anyhow::Result<()> {
        let (standby, holder) = (&mut self.standby, &mut self.holder);
        // The one that waits first: it would take over.
        for process in [Some(standby), (!holder_is_gone).then_some(holder)].into_iter().flatten() {
            process.terminate();
            let status = process.wait(SOON).await;
            ensure!(status.success(), "a relay ended with {status}:\n{}", process.output());
        }
        Ok(())
    }
}

fn spawn(start: &Start, holder: bool) -> Process {
    let mut command = Command::new(Path::new(&start.program));
    command.args(["--database", &start.database, "--broker", &start.broker]);
    command.args(start.bug.map(|bug| format!("--bug={}", bug.name())));
    if holder {
        command.args(start.trap.map(|trap| format!("--trap={trap}")));
        command.args(start.refuses.then_some("--refuses"));
    }
    Process::spawn(command)
}

/// Waits for a line, and says so in an error where it does not come.
pub(super) async fn line(process: &Process, contains: &str, within: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + within;
    while !process.lines_after(0).iter().any(|line| line.contains(contains)) {
        ensure!(Instant::now() < end, "no {contains:?} within {within:?}:\n{}", tail(process));
        sleep(LOOK).await;
    }
    Ok(())
}

/// The last lines that are not about acknowledgements.
pub(super) fn tail(process: &Process) -> String {
    let lines = process.lines_after(0);
    let lines: Vec<_> = lines.iter().filter(|line| line.parse::<Acknowledged>().is_err()).map(String::as_str).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Microseconds since 1970, now.
pub(super) fn now_micros() -> anyhow::Result<i64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).context("a clock after 1970")?;
    Ok(i64::try_from(now.as_micros())?)
}
