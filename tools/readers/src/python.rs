use std::env::var_os;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::Read;

const SOON: Duration = Duration::from_secs(60);

/// The Python with the brokers' clients: that of `OUTBOX_TEST_PYTHON`, else the one that `cargo xtask setup` made.
///
/// # Panics
/// If there is none, with what to do.
#[must_use]
pub fn python() -> PathBuf {
    if let Some(chosen) = var_os("OUTBOX_TEST_PYTHON") {
        return chosen.into();
    }
    // As tools/xtask/src/setup/python.rs has it.
    let cache = var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(var_os("HOME")?).join(".cache")));
    let python = cache.unwrap_or_default().join("outbox/python/bin/python");
    assert!(
        python.exists(),
        "there is no {}: run `cargo xtask setup`, or set OUTBOX_TEST_PYTHON to a Python that can import pika, nats and \
         boto3",
        python.display()
    );
    python
}

/// Runs one of the scripts in `python/`, which prints a line of JSON for each message.
///
/// # Panics
/// If it fails or does not end within a minute, with its stderr.
pub async fn read(script: &str, args: &[&str]) -> Vec<Read> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    let mut command = Command::new(python());
    let done = command.arg(&path).args(args).kill_on_drop(true).output();
    let done = timeout(SOON, done).await.unwrap_or_else(|_| panic!("{script} {args:?} did not end within {SOON:?}"));
    let done = done.unwrap_or_else(|e| panic!("{} does not run: {e}", python().display()));
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{script} {args:?} failed; if a client is missing run `cargo xtask setup`, or see to OUTBOX_TEST_PYTHON:\n{stderr}"
    );
    let lines = String::from_utf8(done.stdout).expect("JSON is text");
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}
