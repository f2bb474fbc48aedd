use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `outbox` command: `OUTBOX_TEST_BIN`, or built next to the running test (once per process; quick when fresh).
/// Blocks the thread while it builds.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn outbox_bin() -> PathBuf {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| std::env::var_os("OUTBOX_TEST_BIN").map_or_else(build, PathBuf::from)).clone()
}

fn build() -> PathBuf {
    // The running test is <target>/<profile>/deps/<name>, an example <target>/<profile>/examples/<name>.
    let test = std::env::current_exe().expect("the path of the running test");
    let profile = test.ancestors().nth(2).expect("a test in a target directory");
    let target = profile.parent().expect("a profile in a target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "outbox-cli", "--manifest-path"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"));
    command.arg("--target-dir").arg(target);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let built = command.output().expect("cargo runs");
    assert!(built.status.success(), "outbox-cli does not build:\n{}", String::from_utf8_lossy(&built.stderr));
    profile.join("outbox")
}
