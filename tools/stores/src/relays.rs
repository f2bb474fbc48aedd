use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::Process;

use crate::Bug;

/// A relay name that two processes serve: one works, one stands by.
#[derive(Debug)]
pub struct Relays {
    program: PathBuf,
    arguments: Vec<String>,
    /// One after the other: what one has settled the next one goes on from.
    clients: std::iter::Cycle<std::slice::Iter<'static, &'static str>>,
    working: Process,
    standing_by: Process,
    /// What those that are gone have said.
    said: String,
}

/// An event that must come.
const SOON: Duration = Duration::from_secs(60);
/// Short, so that a takeover is.
const LEASE: Duration = Duration::from_secs(2);

impl Relays {
    /// What may be handed out and not settled: the bound of duplicates for each takeover.
    pub const WINDOW: usize = 2_000;

    /// Starts both.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn start(program: &Path, url: &str, deliveries: &Path, bug: Option<Bug>) -> Self {
        let mut arguments = vec!["--url".to_owned(), url.to_owned()];
        arguments.extend(["--file".to_owned(), deliveries.display().to_string()]);
        arguments.extend(["--lease".to_owned(), LEASE.as_millis().to_string()]);
        arguments.extend(["--window".to_owned(), Self::WINDOW.to_string()]);
        arguments.extend(bug.map(|bug| format!("--bug={}", bug.name())));
        let program = program.to_owned();
        let clients: &'static [&str] = match (bug, url.starts_with("sqlite")) {
            (Some(_), _) => &["sqlx"],
            (None, true) => &["sqlx", "diesel"],
            (None, false) => &["sqlx", "diesel", "diesel-async"],
        };
        let mut clients = clients.iter().cycle();
        let working = spawn(&program, &arguments, clients.next()).await;
        working.wait_line("Acquired", SOON).await;
        let standing_by = spawn(&program, &arguments, clients.next()).await;
        Self { program, arguments, clients, working, standing_by, said: String::new() }
    }

    /// SIGKILL to the one that works; returns when the other one has taken over, and a third one stands by.
    ///
    /// # Panics
    /// When nobody takes over.
    pub async fn take_over(&mut self) {
        self.working.kill9();
        self.working.wait(SOON).await;
        self.said += &self.working.output();
        self.standing_by.wait_line("Acquired", SOON).await;
        let third = spawn(&self.program, &self.arguments, self.clients.next()).await;
        self.working = std::mem::replace(&mut self.standing_by, third);
    }

    /// Waits until the one that works says that its lease has ended.
    ///
    /// # Panics
    /// When it does not.
    pub async fn lost(&self) {
        self.working.wait_line("Lost", SOON).await;
    }

    /// Stops both in order. Gives what all of them have said.
    ///
    /// # Panics
    /// With their output, when one of them ends with an error or does not end.
    pub async fn stop(mut self) -> String {
        // The one that waits first: it would take over.
        for process in [&mut self.standing_by, &mut self.working] {
            process.terminate();
            let status = process.wait(SOON).await;
            assert!(status.success(), "the relay ended with {status}:\n{}", process.output());
            self.said += &process.output();
        }
        self.said
    }
}

async fn spawn(program: &Path, arguments: &[String], client: Option<&&str>) -> Process {
    let mut command = Command::new(program);
    command.args(arguments).args(client.map(|client| format!("--client={client}")));
    let process = Process::spawn(command);
    // Before that, SIGTERM would not be a clean shutdown.
    process.wait_line("ready", SOON).await;
    process
}
