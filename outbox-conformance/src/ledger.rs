use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Expected, Inversion, Verdict};

/// What was committed and what was received, and from both a [`Verdict`].
///
/// Writers and consumers may note at the same time and in any order: a message may be received before its writer
/// learned that the commit succeeded. Only the arrivals of one key must be noted in the order of arrival.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    committed: HashMap<String, Expected>,
    undone: HashSet<String>,
    dead: HashSet<String>,
    arrivals: Vec<Arrival>,
}

#[derive(Debug)]
struct Arrival {
    id: String,
    key: Option<String>,
    payload_hash: u64,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a message whose transaction committed (G1).
    ///
    /// # Panics
    /// If the id was noted before: two messages with one id cannot be told apart.
    #[track_caller]
    pub fn committed(&self, message: &Expected) {
        let known = self.book().committed.insert(message.id.clone(), message.clone());
        assert!(known.is_none(), "the ledger was told twice that {} was committed", message.id);
    }

    /// Notes one copy of a message, in the order of arrival within its key.
    pub fn received(&self, id: impl ToString, key: Option<&str>, payload: &[u8]) {
        let arrival =
            Arrival { id: id.to_string(), key: key.map(str::to_owned), payload_hash: Expected::hash(payload) };
        self.book().arrivals.push(arrival);
    }

    /// Notes a message found among the dead letters: it is not lost (G2), and if nobody committed it, invented (G1).
    pub fn dead_letter(&self, id: impl ToString) {
        self.book().dead.insert(id.to_string());
    }

    /// Notes a message whose commit is void or unknown: acknowledged, but forgotten by the database in a crash
    /// (`synchronous_commit = off`, failover, restore), or a commit whose answer never came.
    ///
    /// It may have been delivered or not: it is never lost nor invented, nor has it a place in the order. Its copies
    /// are still compared with what was committed, and its extra copies count.
    pub fn undone(&self, id: impl ToString) {
        self.book().undone.insert(id.to_string());
    }

    /// Compares both sides. May be called at any time, also repeatedly, for instance to wait until nothing is missing.
    #[must_use]
    pub fn check(&self) -> Verdict {
        self.book().check()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change is one insertion: a note that panicked leaves the book whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn check(&self) -> Verdict {
        let mut verdict = Verdict { committed: self.committed.len(), undone: self.undone.len(), ..Verdict::default() };
        let mut copies: HashMap<&str, usize> = HashMap::with_capacity(self.committed.len());
        let mut corrupted: HashSet<&str> = HashSet::new();
        let mut latest: HashMap<&str, (u64, &str)> = HashMap::new();

        for arrival in &self.arrivals {
            let id = arrival.id.as_str();
            let expected = self.committed.get(id);
            let seen = copies.entry(id).or_default();
            *seen += 1;
            if expected.is_none() && !self.undone.contains(id) {
                if *seen == 1 {
                    verdict.invented.push(id.to_owned());
                }
                continue;
            }
            verdict.received += 1;
            verdict.max_copies = verdict.max_copies.max(*seen);
            if *seen > 1 {
                verdict.duplicates += 1;
            }
            let Some(expected) = expected else { continue };
            let differs = expected.payload_hash != arrival.payload_hash || expected.key != arrival.key;
            if differs && corrupted.insert(id) {
                verdict.corrupted.push(id.to_owned());
            }
            if *seen == 1
                && let (Some(key), Some(order)) = (&expected.key, expected.order)
                && !self.undone.contains(id)
            {
                let (top, before) = latest.entry(key).or_insert((order, id));
                if order < *top {
                    verdict.inversions.push(Inversion {
                        key: key.clone(),
                        early: (*before).to_owned(),
                        late: id.to_owned(),
                    });
                } else {
                    (*top, *before) = (order, id);
                }
            }
        }
        self.check_absent(&copies, &mut verdict);
        verdict
    }

    /// The messages of which no copy arrived.
    fn check_absent(&self, copies: &HashMap<&str, usize>, verdict: &mut Verdict) {
        let arrived = |id: &str| copies.contains_key(id);
        let mut lost: Vec<&Expected> = self
            .committed
            .values()
            .filter(|m| !arrived(&m.id) && !self.dead.contains(&m.id) && !self.undone.contains(&m.id))
            .collect();
        // By key and position, since a run of neighbours tells more than the map's chance order.
        lost.sort_by(|a, b| (&a.key, a.order, &a.id).cmp(&(&b.key, b.order, &b.id)));
        verdict.lost = lost.into_iter().map(|m| m.id.clone()).collect();

        let mut unknown: Vec<&String> = self
            .dead
            .iter()
            .filter(|id| !self.committed.contains_key(*id) && !self.undone.contains(*id) && !arrived(id))
            .collect();
        unknown.sort();
        verdict.invented.extend(unknown.into_iter().cloned());
        verdict.dead_letters = self.dead.len();
        verdict.undone_delivered = self.undone.iter().filter(|id| arrived(id)).count();
    }
}
