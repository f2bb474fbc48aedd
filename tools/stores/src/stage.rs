use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox_conformance::{Ledger, Verdict};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{Bug, Reader, Relays};

/// A database with two relay processes, of which one works; what they delivered, and what was committed.
#[derive(Debug)]
pub struct Stage {
    /// The processes.
    pub relays: Relays,
    /// Learns from the writers what was committed, and from here what arrived.
    pub ledger: Arc<Ledger>,
    reader: Reader,
    arrived: HashSet<String>,
    quiet: Duration,
    _dir: TempDir,
}

/// What the relays left behind.
#[derive(Debug)]
pub struct Ended {
    /// Of all messages.
    pub verdict: Verdict,
    /// The ids of what arrived.
    pub arrived: HashSet<String>,
    /// Leases that ended by an error of the database, as the relays said it.
    pub lost_leases: Vec<String>,
}

/// Where nothing arrives for so long, nothing more does.
const QUIET: Duration = Duration::from_secs(30);
/// The same where something is expected to be missing.
const QUIET_WITH_BUG: Duration = Duration::from_secs(4);

impl Stage {
    /// Starts the relays on this database. `program` is `env!("CARGO_BIN_EXE_stores-relay")`.
    ///
    /// # Panics
    /// When they do not start.
    pub async fn start(program: &str, url: &str, bug: Option<Bug>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let deliveries = dir.path().join("deliveries");
        let relays = Relays::start(Path::new(program), url, &deliveries, bug).await;
        let quiet = if bug.is_some() { QUIET_WITH_BUG } else { QUIET };
        let (reader, ledger) = (Reader::new(&deliveries), Arc::default());
        Self { relays, ledger, reader, arrived: HashSet::new(), quiet, _dir: dir }
    }

    /// Until so many different messages have arrived, or nothing more does. Gives how many have.
    pub async fn wait_for(&mut self, many: usize) -> usize {
        self.wait(|arrived| arrived.len() >= many).await;
        self.arrived.len()
    }

    /// Until these have arrived, or nothing more does. Gives how many of them are missing.
    pub async fn wait_for_all(&mut self, ids: &HashSet<String>) -> usize {
        self.wait(|arrived| arrived.len() >= ids.len() && ids.is_subset(arrived)).await;
        ids.difference(&self.arrived).count()
    }

    /// Until enough have arrived, or nothing more does.
    pub async fn wait(&mut self, enough: impl Fn(&HashSet<String>) -> bool) {
        let mut last = Instant::now();
        self.read();
        while !enough(&self.arrived) && last.elapsed() < self.quiet {
            if self.read() {
                last = Instant::now();
            } else {
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Stops the relays in order, and judges.
    ///
    /// # Panics
    /// When a relay has not lived until now, or does not stop.
    pub async fn end(mut self) -> Ended {
        let (ledger, arrived) = (self.ledger.clone(), &mut self.arrived);
        let said = self.relays.stop().await;
        note(&mut self.reader, &ledger, arrived);
        let lost_leases = said.lines().filter(|line| line.starts_with("Lost")).map(str::to_owned).collect();
        Ended { verdict: ledger.check(), arrived: self.arrived, lost_leases }
    }

    fn read(&mut self) -> bool {
        note(&mut self.reader, &self.ledger, &mut self.arrived)
    }
}

fn note(reader: &mut Reader, ledger: &Ledger, arrived: &mut HashSet<String>) -> bool {
    let new = reader.read();
    for d in &new {
        ledger.received(&d.id, d.key.as_deref(), d.payload.as_bytes());
        arrived.insert(d.id.clone());
    }
    !new.is_empty()
}

impl Ended {
    /// Fails unless nothing is lost, invented or inverted, and the duplicates are no more than so many faults and the
    /// leases that were lost explain.
    ///
    /// # Panics
    /// With all figures.
    #[track_caller]
    pub fn assert_clean(&self, faults: usize) {
        self.verdict.assert_clean((faults + self.lost_leases.len()) * Relays::WINDOW);
    }
}
