use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// A child process whose lines of stdout and stderr are kept. Killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
    name: String,
    /// Closed when both outputs are.
    lines: watch::Receiver<Vec<String>>,
}

impl Process {
    /// Starts it, without stdin. Takes the command of `std` or of tokio.
    ///
    /// # Panics
    /// If it does not start, or outside of a runtime.
    #[must_use]
    pub fn spawn(command: impl Into<Command>) -> Self {
        let mut command = command.into();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        let (sender, lines) = watch::channel(Vec::new());
        tokio::spawn(keep(child.stdout.take().expect("a piped stdout"), sender.clone()));
        tokio::spawn(keep(child.stderr.take().expect("a piped stderr"), sender));
        let pid = child.id().expect("a process that was not waited for");
        Self { child, pid, name, lines }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the first line that contains the text, which may have come before the call.
    ///
    /// # Panics
    /// With the output so far, if the line does not come in time or the outputs end without it.
    pub async fn wait_line(&self, contains: &str, within: Duration) -> String {
        let mut lines = self.lines.clone();
        let found = |lines: &Vec<String>| lines.iter().find(|line| line.contains(contains)).cloned();
        let seen = timeout(within, lines.wait_for(|lines| found(lines).is_some())).await;
        let why = match &seen {
            Ok(Ok(lines)) => return found(lines).expect("the line waited for"),
            Ok(Err(_)) => "has ended its output".to_owned(),
            Err(_) => format!("ran {within:?}"),
        };
        // The lock on the lines is held by what was seen.
        drop(seen);
        panic!("{} {why} without a line with {contains:?}:\n{}", self.name, self.output())
    }

    /// SIGKILL. [`wait`](Self::wait) tells when it is gone.
    pub fn kill9(&mut self) {
        // Fails only if it has ended already.
        drop(self.child.start_kill());
    }

    /// SIGCONT: a process that was stopped goes on.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// SIGTERM.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        // An id that was waited for may belong to another process by now.
        assert!(self.child.id().is_some(), "{} has ended:\n{}", self.name, self.output());
        let sent = std::process::Command::new("kill").args([signal, &self.pid.to_string()]).output();
        let sent = sent.expect("the command kill");
        assert!(sent.status.success(), "kill {signal} {}: {}", self.name, String::from_utf8_lossy(&sent.stderr));
    }

    /// Waits for its end, and for the end of its output (a grandchild may hold that open, so no longer than a second).
    ///
    /// # Panics
    /// With the output so far, if it does not end in time.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        let Ok(ended) = timeout(within, self.child.wait()).await else {
            panic!("{} still runs after {within:?}:\n{}", self.name, self.output())
        };
        let mut lines = self.lines.clone();
        drop(timeout(Duration::from_secs(1), async { while lines.changed().await.is_ok() {} }).await);
        ended.unwrap_or_else(|e| panic!("waiting for {}: {e}", self.name))
    }

    /// The lines behind the first so many, as far as they have come.
    #[must_use]
    pub fn lines_after(&self, first: usize) -> Vec<String> {
        self.lines.borrow().iter().skip(first).cloned().collect()
    }

    /// All lines so far, of both outputs as they came.
    #[must_use]
    pub fn output(&self) -> String {
        self.lines.borrow().join("\n")
    }
}

async fn keep(from: impl AsyncRead + Unpin, to: watch::Sender<Vec<String>>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        to.send_modify(|lines| lines.push(text));
        line.clear();
    }
}
