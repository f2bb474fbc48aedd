//! The runs: the protocol under each kind of fault, and the mutants with the property that each must break.

mod base;
mod dead_letters;
mod flaws;
mod mutants;
mod shipped;

use crate::config::{After, Budget, Config, WriterConfig, writer};
use crate::mutant::Mutant;

/// One configuration and what is expected of it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) name: &'static str,
    /// `None`: every property holds in every reachable state.
    pub(crate) breaks: Option<&'static str>,
    pub(crate) config: Config,
    /// Takes more than a few seconds: left out by `cargo test`.
    pub(crate) large: bool,
}

impl Run {
    fn large(self) -> Self {
        Self { large: true, ..self }
    }
}

/// Every run.
pub(crate) fn all() -> Vec<Run> {
    [base::runs(), mutants::runs(), dead_letters::runs(), flaws::runs(), shipped::runs()].concat()
}

fn holds(name: &'static str, config: Config) -> Run {
    Run { name, breaks: None, config, large: false }
}

fn breaks(property: &'static str, name: &'static str, config: Config) -> Run {
    Run { name, breaks: Some(property), config, large: false }
}

/// No fault at all.
const NONE: Budget = Budget {
    refused: 0,
    unknown: 0,
    rejected: 0,
    crash: 0,
    zombie: 0,
    database: 0,
    restore: 0,
    lost_reply: 0,
    release: 0,
    reset: 0,
};

fn plain() -> Config {
    Config::default()
}

fn faults(budget: Budget) -> Config {
    Config { budget, ..plain() }
}

fn mutant(mutant: Mutant, budget: Budget) -> Config {
    Config { mutant, budget, ..plain() }
}

/// Two serialised writers of one key.
fn pair() -> Vec<WriterConfig> {
    vec![writer(1), writer(1)]
}

/// Two serialised writers of one key, and a free one.
fn pair_and_free() -> Vec<WriterConfig> {
    vec![writer(1), writer(1), writer(0)]
}

/// Writers without a common key: their seqs and commits interleave freely.
fn free(count: usize) -> Vec<WriterConfig> {
    vec![writer(0); count]
}

/// Retention runs too.
fn kept(writers: Vec<WriterConfig>, budget: Budget) -> Config {
    Config { writers, retention: true, budget, ..plain() }
}

fn failover(writers: Vec<WriterConfig>, budget: Budget) -> Config {
    Config { failover: true, ..kept(writers, Budget { database: 1, ..budget }) }
}

fn restore(writers: Vec<WriterConfig>, budget: Budget) -> Config {
    Config { failover: true, ..kept(writers, Budget { restore: 1, ..budget }) }
}

/// Begins after the database fault.
fn later(key: u8) -> WriterConfig {
    WriterConfig { after: After::DatabaseFault, ..writer(key) }
}

/// A transaction that writes elsewhere.
fn foreign() -> WriterConfig {
    WriterConfig { rows: 0, ..writer(0) }
}

/// One free writer before the database fault, two after it.
fn one_and_two_later() -> Vec<WriterConfig> {
    vec![writer(0), later(0), later(0)]
}
