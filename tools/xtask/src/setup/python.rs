use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages;
use crate::Result;
use crate::process::{output, run, succeeds};

/// Names a Python that the tests use instead; for `tools/readers` too.
const VARIABLE: &str = "OUTBOX_TEST_PYTHON";

/// The brokers' clients for Python, with which `tools/readers` reads: distribution, version, module.
const CLIENTS: &[(&str, &str, &str)] =
    &[("pika", "1.4.4", "pika"), ("nats-py", "2.16.0", "nats"), ("boto3", "1.44.8", "boto3")];

/// Sees to a Python that can import the clients: the user's own, or an environment of ours outside of the clone.
pub(crate) fn ensure() -> Result {
    if let Some(chosen) = std::env::var_os(VARIABLE) {
        let test = imports();
        return output(Command::new(&chosen).args(["-c", &test])).map(drop).map_err(|why| {
            format!("{VARIABLE} is {}, which cannot import all of: {}\n{why}", chosen.display(), modules())
        });
    }
    let home = home(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))?;
    let python = home.join("bin/python");
    if output(Command::new(&python).args(["-c", &versions()])).is_ok() {
        return Ok(());
    }
    packages::ensure(packages::PYTHON)?;
    println!("setup: making {} with {}", home.display(), requirements().join(" "));
    make(&home)?;
    let install = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
    run(Command::new(&python).args(install).args(requirements())).map_err(|why| {
        format!(
            "{why}: pip takes packages from where its own settings say (pip.conf, PIP_INDEX_URL). Or set {VARIABLE} to \
             a Python that can import {}",
            modules()
        )
    })?;
    output(Command::new(&python).args(["-c", &versions()]))
        .map(drop)
        .map_err(|why| format!("{} is made, but still fails: {why}", home.display()))
}

/// An empty environment, in place of one that is not whole. A Python of the user's own may lack what it takes.
fn make(home: &Path) -> Result {
    let able = |python: &&str| succeeds(&[python, "-c", "import ensurepip, venv"]);
    let python = ["python3", "/usr/bin/python3"].into_iter().find(able);
    let python = python.ok_or("no python3 has the modules venv and ensurepip")?;
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(home))
}

/// Next to where `.ci/run` keeps its build; `tools/readers` looks there.
fn home(cache: Option<OsString>, user: Option<OsString>) -> Result<PathBuf> {
    let cache = cache.filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(user?).join(".cache")));
    let cache =
        cache.ok_or_else(|| format!("neither XDG_CACHE_HOME nor HOME is set: set one of them, or {VARIABLE}"))?;
    Ok(cache.join("outbox/python"))
}

fn requirements() -> Vec<String> {
    CLIENTS.iter().map(|(name, version, _)| format!("{name}=={version}")).collect()
}

fn modules() -> String {
    CLIENTS.iter().map(|(.., module)| *module).collect::<Vec<_>>().join(", ")
}

/// A program that succeeds where all clients can be imported.
fn imports() -> String {
    format!("import {}", modules())
}

/// The same, in our versions.
fn versions() -> String {
    let test = |(name, version, _): &(&str, &str, &str)| format!("; assert version({name:?}) == {version:?}");
    let tests: String = CLIENTS.iter().map(test).collect();
    format!("{}; from importlib.metadata import version{tests}", imports())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_in_the_cache_of_the_user() {
        let home = |cache: Option<&str>, user: Option<&str>| home(cache.map(Into::into), user.map(Into::into));
        assert_eq!(home(Some("/c"), Some("/u")), Ok("/c/outbox/python".into()));
        assert_eq!(home(Some(""), Some("/u")), Ok("/u/.cache/outbox/python".into()));
        assert_eq!(home(None, Some("/u")), Ok("/u/.cache/outbox/python".into()));
        assert!(home(None, None).is_err_and(|why| why.contains("OUTBOX_TEST_PYTHON")));
    }

    #[test]
    fn the_test_looks_for_every_client_in_its_version() {
        let test = versions();
        assert!(test.starts_with("import pika, nats, boto3; from importlib.metadata import version; "), "{test}");
        for (name, version, _) in CLIENTS {
            assert!(test.contains(&format!("assert version(\"{name}\") == \"{version}\"")), "{test}");
        }
    }
}
