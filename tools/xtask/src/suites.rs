use std::path::PathBuf;

use crate::process::{cargo, run as run_command};
use crate::{Result, containers, setup};

struct Suite {
    name: &'static str,
    about: &'static str,
    /// Whether it needs servers and the built programs: then there is a setup before, and a sweep on both sides.
    servers: bool,
    /// For the test programs, unless the caller has set it.
    environment: &'static [(&'static str, &'static str)],
    /// What cargo gets, command after command.
    commands: &'static [&'static [&'static str]],
}

const SUITES: &[Suite] = &[
    Suite {
        name: "all",
        about: "every test of every crate (the default)",
        servers: true,
        environment: &[],
        commands: &[&["test", "--workspace", "--all-features"]],
    },
    Suite {
        name: "stores",
        about: "every store: suites, cross matrix, stress, failover, upgrade",
        servers: true,
        environment: &[("OUTBOX_TEST_STORES", "full")],
        commands: &[
            &["test", "--package", "outbox-sqlx", "--package", "outbox-diesel", "--all-features", "--tests"],
            &["test", "--package", "stores", "--all-features", "--", "--nocapture"],
        ],
    },
    Suite {
        name: "pairings",
        about: "every store with every broker, which fails in the middle: one table",
        servers: true,
        environment: &[],
        commands: &[&["test", "--package", "pairings", "--", "--nocapture", "--test-threads", "1"]],
    },
    Suite {
        name: "faults",
        about: "relays, databases and brokers that fail, each in every way: one table",
        servers: true,
        environment: &[("OUTBOX_TEST_FAULTS", "full")],
        commands: &[&["test", "--package", "faults", "--", "--nocapture", "--test-threads", "1"]],
    },
    Suite {
        name: "fast",
        about: "what needs no server: the core, the SQL engine, the checkers",
        servers: false,
        environment: &[],
        commands: &[&[
            "test",
            "--package",
            "outbox-core",
            "--package",
            "outbox-sql",
            "--package",
            "outbox-conformance",
        ]],
    },
    Suite {
        name: "mutants",
        about: "broken stores, transports and protocols: which clause or seed catches each",
        servers: false,
        environment: &[],
        commands: &[
            &["test", "--package", "outbox-conformance", "--test", "store_mutants", "--", "--nocapture"],
            &["test", "--package", "outbox-conformance", "--test", "transport_mutants", "--", "--nocapture"],
            &["run", "--quiet", "--release", "--package", "sim", "--", "--mutants"],
        ],
    },
];

/// One line per suite, for the usage.
pub(crate) fn list() -> String {
    SUITES.iter().map(|suite| format!("  {:<8} {}\n", suite.name, suite.about)).collect()
}

/// Suites by name, then perhaps `--` and arguments for the test programs.
pub(crate) fn run(args: &[&str]) -> Result {
    let (names, extra) = match args.iter().position(|arg| *arg == "--") {
        Some(at) => (&args[..at], &args[at + 1..]),
        None => (args, &[][..]),
    };
    let suites = chosen(names)?;
    let servers = suites.iter().any(|suite| suite.servers);
    if servers {
        setup::run()?;
    }
    test(&suites, servers, extra)
}

/// The default suite, where the setup is done.
pub(crate) fn run_all() -> Result {
    test(&chosen(&[])?, true, &[])
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Suite>> {
    let names = if names.is_empty() { &["all"] } else { names };
    let find = |name: &&str| {
        let suite = SUITES.iter().find(|suite| suite.name == *name);
        suite.ok_or_else(|| format!("there is no suite `{name}`; there are:\n{}", list()))
    };
    names.iter().map(find).collect()
}

fn test(suites: &[&Suite], servers: bool, extra: &[&str]) -> Result {
    if servers {
        containers::sweep()?;
        // As users get them, and once: otherwise each test program that runs them would ask cargo again.
        run_command(&mut cargo(["build", "--package", "outbox-cli", "--package", "quickstart"]))?;
    }
    let commands = suites.iter().flat_map(|suite| suite.commands.iter().map(move |args| (suite, *args)));
    let tested = commands.into_iter().try_for_each(|(suite, args)| {
        let mut test = cargo(args.iter().copied());
        if !extra.is_empty() {
            test.args((!args.contains(&"--")).then_some("--")).args(extra);
        }
        for (name, value) in suite.environment {
            if std::env::var_os(name).is_none() {
                test.env(name, value);
            }
        }
        if suite.servers {
            test.env("OUTBOX_TEST_REQUIRED", "1").env("OUTBOX_TEST_BIN", program("outbox")?);
        }
        run_command(&mut test)
    });
    if servers {
        containers::sweep()?;
    }
    tested
}

/// A program of the workspace: cargo puts it next to xtask, which is a debug build as well.
fn program(name: &str) -> Result<PathBuf> {
    let xtask = std::env::current_exe().map_err(|e| format!("the path of xtask: {e}"))?;
    Ok(xtask.with_file_name(name))
}
