use std::fmt;
use std::time::{Duration, Instant};

use crate::{Bug, Ended, Load, Site, Stage, Written};

/// What a stress run showed.
#[derive(Debug)]
pub struct Report {
    /// The server's name and version.
    pub database: String,
    /// Of the relays.
    pub ended: Ended,
    /// Of the writers.
    pub written: Written,
    /// What the outbox says is not settled, after a clean shutdown.
    pub waiting: u64,
    /// Of the whole run.
    pub took: Duration,
}

/// The run: writers, and a relay process that is killed twice while they write, with a takeover by another process.
///
/// # Panics
/// When a process does not do what it must.
pub async fn stress<S: Site>(site: &S, load: Load, program: &str, bug: Option<Bug>) -> Report {
    let started = Instant::now();
    let mut stage = Stage::start(program, site.url(), bug).await;
    let writing = load.spawn(site, &stage.ledger);
    for kill in 1..=KILLS {
        let enough = load.messages * kill / (KILLS + 1);
        stage.wait(|arrived| arrived.len() >= enough || writing.is_finished()).await;
        stage.relays.take_over().await;
    }
    let written = writing.await.expect("the writers");
    stage.wait_for_all(&written.ids).await;
    let ended = stage.end().await;
    let waiting = site.waiting().await.expect("the outbox's own count");
    let database = site.version().await.expect("the version");
    Report { database, ended, written, waiting, took: started.elapsed() }
}

const KILLS: usize = 2;
/// Leases that may be lost because a busy machine or a busy file lets the relay wait for too long.
const TOLERATED: usize = 3;

impl Report {
    /// The run of a store that is right.
    ///
    /// # Panics
    /// With all figures.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert_eq!(self.written.failed.0, 0, "transactions failed: {:?}", self.written.failed.1);
        assert!(self.written.rolled_back > 0, "nothing was rolled back");
        let lost = &self.ended.lost_leases;
        assert!(lost.len() <= TOLERATED, "leases were lost without a fault: {lost:?}");
        self.ended.assert_clean(KILLS);
        assert_eq!(self.waiting, 0, "of nothing that arrived may the outbox say that it waits");
    }

    /// Lost messages and inversions: what a bug of a store does.
    #[must_use]
    pub fn harm(&self) -> usize {
        self.ended.verdict.lost.len() + self.ended.verdict.inversions.len()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = &self.ended.verdict;
        write!(
            f,
            "{:<18} {:>6} messages, {:>5} rolled back, {} failed; {:>4} duplicates, {} lost, {} inversions, \
             {} invented; {} leases lost; {:.1} s",
            self.database,
            v.committed,
            self.written.rolled_back,
            self.written.failed.0,
            v.duplicates,
            v.lost.len(),
            v.inversions.len(),
            v.invented.len(),
            self.ended.lost_leases.len(),
            self.took.as_secs_f64()
        )
    }
}
