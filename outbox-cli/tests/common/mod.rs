//! What the end-to-end tests share: the command's processes, a shop with an outbox, and the judgement.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod shop;
pub(crate) mod traffic;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use testkit::Process;

/// Longer than anything takes that works: the machine may be busy with builds and other servers.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// The relay name of every file.
pub(crate) const RELAY: &str = "orders-to-kafka";

/// The command, without what the machine's environment would tell it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbox"));
    command.args(arguments).env_remove("OUTBOX_URL").env_remove("RUST_LOG");
    command
}

/// Runs the command to its end. Gives how it ended and all that it said.
pub(crate) async fn outbox(arguments: &[&str]) -> (ExitStatus, String) {
    let mut process = Process::spawn(command(arguments));
    (process.wait(SOON).await, process.output())
}

/// The same for what has to work.
pub(crate) async fn works(arguments: &[&str]) -> String {
    let (status, said) = outbox(arguments).await;
    assert!(status.success(), "outbox {arguments:?}: {status}\n{said}");
    said
}

/// The same for what has to be refused. Gives what it said.
pub(crate) async fn refused(arguments: &[&str]) -> String {
    let (status, said) = outbox(arguments).await;
    assert_eq!(status.code(), Some(1), "outbox {arguments:?}\n{said}");
    said
}

/// A directory of its own, removed on drop.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("outbox-test-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An `outbox.toml` in a directory of its own.
#[derive(Debug)]
pub(crate) struct Config {
    _directory: Directory,
    path: String,
}

impl Config {
    pub(crate) fn new(text: &str) -> Self {
        let directory = Directory::new();
        let path = directory.file("outbox.toml");
        std::fs::write(Path::new(&path), text).expect("the file is written");
        Self { _directory: directory, path }
    }

    /// One relay from `url` to `bootstrap`; `settings` are further lines of the relay.
    pub(crate) fn relay_of(url: &str, bootstrap: &str, settings: &str) -> Self {
        Self::new(&format!(
            "[[outbox]]\nurl = \"{url}\"\n\n[[outbox.relay]]\nname = \"{RELAY}\"\n\
             to = {{ kafka = {{ bootstrap = \"{bootstrap}\" }} }}\n{settings}\n"
        ))
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Starts a relay process.
    pub(crate) fn relay(&self) -> Process {
        Process::spawn(command(&["relay", "--config", &self.path]))
    }

    /// Starts a relay process; returns when it has the lease.
    pub(crate) async fn active_relay(&self) -> Process {
        let relay = self.relay();
        relay.wait_line("Acquired", SOON).await;
        relay
    }
}

/// SIGTERM, upon which it has to drain and end well.
pub(crate) async fn terminate(relay: &mut Process) {
    relay.terminate();
    let status = relay.wait(SOON).await;
    assert!(status.success(), "{status} after SIGTERM:\n{}", relay.output());
    assert!(relay.output().contains("drained"), "{}", relay.output());
}

/// All chance of a test comes from this; `OUTBOX_TEST_SEED` repeats a run as far as servers and processes can be.
pub(crate) fn chance() -> StdRng {
    let given = std::env::var("OUTBOX_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |text| text.parse::<u64>().expect("OUTBOX_TEST_SEED is a number"));
    println!("OUTBOX_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
