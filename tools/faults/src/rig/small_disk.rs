use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// A folder with a disk of its own in memory. To mount one takes root, or `sudo` without a password.
#[derive(Debug)]
pub(super) struct SmallDisk(TempDir);

impl SmallDisk {
    pub(super) fn mount(bytes: u64) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let size = format!("size={bytes},mode=777");
        as_root(&["mount", "-t", "tmpfs", "-o", &size, "outbox-test"], dir.path())?;
        Ok(Self(dir))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all that is left.
    pub(super) fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::create(self.ballast())?;
        // Large pieces, then small ones: a write that does not fit may fail as a whole.
        for size in [64 << 10, 512, 1] {
            let piece = vec![0; size];
            let full = loop {
                if let Err(e) = ballast.write_all(&piece) {
                    break e;
                }
            };
            ensure!(full.kind() == ErrorKind::StorageFull, "the disk is not full, but: {full}");
        }
        Ok(())
    }

    /// Gives it back.
    pub(super) fn free(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.ballast()).context("the ballast")
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever was killed may not have let go yet.
        if let Err(e) = as_root(&["umount", "--lazy"], self.path()) {
            eprintln!("{e:#}");
        }
    }
}

fn as_root(command: &[&str], path: &Path) -> anyhow::Result<()> {
    let run = |words: &[&str]| Command::new(words[0]).args(&words[1..]).arg(path).output();
    let mut done = run(command)?;
    if !done.status.success()
        && let Ok(again) = run(&[&["sudo", "-n"][..], command].concat())
    {
        done = again;
    }
    let why = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{} {} (it takes root): {why}", command.join(" "), path.display());
    Ok(())
}
