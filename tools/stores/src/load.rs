use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_conformance::{Expected, Ledger};
use outbox_core::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::site::{AGGREGATES, Site};

/// Writers side by side, each with one transaction after the other.
///
/// A transaction locks one or two aggregates, in ascending order, counts each one's version up, and writes 1 to 8
/// messages keyed by it, which carry their place; perhaps one more behind a savepoint. One in ten is rolled back. It
/// pauses at random places. So that transactions end in every order, there are busy times, with all writers, short
/// pauses and now and then one that is longer than the relay waits between two settlements, and calm times: two
/// writers, which take their time. Some mistakes need many transactions in flight, and some need that nobody else
/// ends one.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Where the messages go. Default `stress`.
    pub topic: &'static str,
    /// By which each payload is longer than it has to be.
    pub bytes: usize,
    /// Messages to be committed, or a few more.
    pub messages: usize,
    /// How many writers.
    pub writers: usize,
    /// Of all randomness.
    pub seed: u64,
    /// Whether a failed transaction is run again; what its commit may have done is then not known. Otherwise it is
    /// only counted.
    pub faults: bool,
    /// Whether two of a few aggregates are locked, in any order, so that transactions deadlock.
    pub rough: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self { topic: "stress", bytes: 0, messages: 0, writers: 0, seed: 0, faults: false, rough: false }
    }
}

/// What the writers did.
#[derive(Debug, Default)]
pub struct Written {
    /// The ids of the messages whose transaction committed.
    pub ids: HashSet<String>,
    /// Transactions that were rolled back by intent.
    pub rolled_back: usize,
    /// Transactions that failed, and the first error.
    pub failed: (usize, Option<String>),
}

/// Of so many messages ...
const PERIOD: usize = 1_250;
/// ... the last ones are written in calm.
const CALM: usize = 100;
/// Writers in calm.
const FEW: usize = 2;
/// Aggregates of a rough load.
const FEW_AGGREGATES: usize = 8;
/// So many failures in a row are too many.
const GIVE_UP: u64 = 100;

impl Load {
    /// Runs it beside the caller.
    #[must_use]
    pub fn spawn<S: Site>(self, site: &S, ledger: &Arc<Ledger>) -> JoinHandle<Written> {
        let (site, ledger) = (site.clone(), ledger.clone());
        tokio::spawn(async move { self.run(&site, &ledger).await })
    }

    /// Runs it; the ledger learns what was committed.
    ///
    /// # Panics
    /// When a writer panics, or fails all the time.
    pub async fn run<S: Site>(self, site: &S, ledger: &Arc<Ledger>) -> Written {
        let done = Arc::new(AtomicUsize::new(0));
        let mut writers = JoinSet::new();
        for number in 0..self.writers {
            let rng = StdRng::seed_from_u64(self.seed.wrapping_add(number as u64));
            let writer = Writer { site: site.clone(), ledger: ledger.clone(), done: done.clone(), rng, number };
            writers.spawn(writer.run(self));
        }
        let mut all = Written::default();
        while let Some(written) = writers.join_next().await {
            let written = written.expect("a writer");
            all.ids.extend(written.ids);
            all.rolled_back += written.rolled_back;
            all.failed = (all.failed.0 + written.failed.0, all.failed.1.or(written.failed.1));
        }
        all
    }

    fn message(self, aggregate: usize, order: u64) -> (Message, Expected) {
        let text = format!("{aggregate} at {order}{}", " ".repeat(self.bytes));
        let message = Message::new(self.topic, "aggregate.changed").key(aggregate).text(text);
        let expected = Expected::new(message.id, &message.payload).key(aggregate.to_string()).order(order);
        (message, expected)
    }
}

struct Writer<S> {
    site: S,
    ledger: Arc<Ledger>,
    done: Arc<AtomicUsize>,
    rng: StdRng,
    number: usize,
}

/// What became of a transaction.
enum End {
    Committed,
    RolledBack,
    /// In the commit or before.
    Failed(anyhow::Error, bool),
}

impl<S: Site> Writer<S> {
    async fn run(mut self, load: Load) -> Written {
        let mut written = Written::default();
        let mut in_a_row = 0_u64;
        loop {
            let done = self.done.load(Ordering::Relaxed);
            if done >= load.messages {
                return written;
            }
            let calm = done % PERIOD >= PERIOD - CALM;
            if calm && self.number >= FEW {
                pause(5).await;
                continue;
            }
            if !self.site.overlapping() {
                // SQLite gives its write lock to whoever asks in the right moment: without a break now and then, the
                // relay may not get it for a second.
                pause(self.rng.random_range(0..15)).await;
            }
            let mut messages = Vec::new();
            let end = timeout(PATIENCE, self.transaction(calm, load, &mut messages)).await;
            let end = end.unwrap_or_else(|e| End::Failed(e.into(), true));
            in_a_row = if matches!(end, End::Failed(..)) { in_a_row + 1 } else { 0 };
            match end {
                End::Committed => {
                    written.ids.extend(messages.iter().map(|m| m.id.clone()));
                    self.done.fetch_add(messages.len(), Ordering::Relaxed);
                    messages.iter().for_each(|m| self.ledger.committed(m));
                }
                End::RolledBack => written.rolled_back += 1,
                End::Failed(error, in_commit) => {
                    written.failed.0 += 1;
                    written.failed.1.get_or_insert(format!("{error:#}"));
                    if in_commit {
                        messages.iter().for_each(|m| self.ledger.undone(&m.id));
                    }
                    if load.faults {
                        // As applications do: less and less often.
                        pause(50 * in_a_row.min(20)).await;
                    } else {
                        // A share of the work, so that a load that always fails ends.
                        self.done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            assert!(in_a_row < GIVE_UP, "{in_a_row} transactions in a row failed: {:?}", written.failed);
        }
    }

    async fn transaction(&mut self, calm: bool, load: Load, messages: &mut Vec<Expected>) -> End {
        let mut tx = match self.site.begin().await {
            Ok(tx) => tx,
            Err(e) => return End::Failed(e, false),
        };
        let filled = self.fill(&mut tx, calm, load, messages).await;
        if let Err(e) = filled {
            return End::Failed(e, false);
        }
        if self.rng.random_ratio(1, 10) {
            return match self.site.rollback(tx).await {
                Ok(()) => End::RolledBack,
                Err(e) => End::Failed(e, false),
            };
        }
        match self.site.commit(tx).await {
            Ok(()) => End::Committed,
            Err(e) => End::Failed(e, true),
        }
    }

    async fn fill(
        &mut self,
        tx: &mut S::Tx,
        calm: bool,
        load: Load,
        messages: &mut Vec<Expected>,
    ) -> anyhow::Result<()> {
        let aggregates = if load.rough { FEW_AGGREGATES } else { AGGREGATES };
        let (first, second) = (self.rng.random_range(0..aggregates), self.rng.random_range(0..aggregates));
        let two = if load.rough { first != second } else { first < second && self.rng.random_ratio(1, 4) };
        let mut last = None;
        for aggregate in [Some(first), two.then_some(second)].into_iter().flatten() {
            let version = self.site.touch(tx, aggregate).await?;
            self.pause(if calm { 0..15 } else { 0..2 }).await;
            let many = if self.rng.random_ratio(1, 2) { 1 } else { self.rng.random_range(2..=8) };
            let batch = (0..many).map(|n| load.message(aggregate, version * 16 + n)).collect::<Vec<_>>();
            messages.extend(batch.iter().map(|(_, expected)| expected.clone()));
            self.site.enqueue(tx, batch.into_iter().map(|(m, _)| m).collect()).await?;
            last = Some((aggregate, version * 16 + many));
        }
        // At the end: on MySQL, in REPEATABLE READ, what a savepoint took back leaves a lock on the end of the table.
        // Whoever locks something else afterwards may deadlock with the next writer.
        if let Some((aggregate, order)) = last.filter(|_| self.rng.random_ratio(1, 10)) {
            let (inner, expected) = load.message(aggregate, order);
            let keep = self.rng.random();
            self.site.savepoint(tx, inner, keep).await?;
            messages.extend(keep.then_some(expected));
        }
        // Not shortly before a calm, which it would outlast.
        let early = self.done.load(Ordering::Relaxed) % PERIOD < PERIOD / 2;
        let long = early && self.site.overlapping() && self.rng.random_ratio(1, 30);
        self.pause(if long {
            100..250
        } else if calm {
            0..40
        } else {
            0..6
        })
        .await;
        Ok(())
    }

    /// So many milliseconds; where writers wait for each other, rarely and short.
    async fn pause(&mut self, millis: Range<u64>) {
        if self.site.overlapping() {
            pause(self.rng.random_range(millis)).await;
        } else if self.rng.random_ratio(1, 20) {
            pause(1).await;
        }
    }
}

/// A transaction that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a user does between two statements: it makes orders of events, it waits for none.
async fn pause(millis: u64) {
    if millis > 0 {
        sleep(Duration::from_millis(millis)).await;
    }
}
