use std::time::Duration;

use outbox_conformance::Verdict;

use crate::{Fault, Task, Timing};

/// What one fault on one database and one broker showed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Cell {
    /// What was done.
    pub task: Task,
    /// Where it struck.
    pub trap: String,
    /// Of the ledger.
    pub verdict: Verdict,
    /// From the end of the fault, or from the death of a process, to the acknowledgement of a message that was written
    /// after it; for a poison message, to its dead letter. `None` where that never came.
    pub recovery: Option<Duration>,
    /// Whether a relay or a writer has said that something failed, where that must be seen.
    pub noticed: bool,
    /// How often the lease was taken.
    pub acquired: usize,
    /// Dead letters.
    pub dead: i64,
    /// What still waits in the end.
    pub waiting: i64,
    /// Why the run did not come to its end.
    pub error: Option<String>,
    /// The last lines of the relays.
    pub said: String,
    /// Of the whole run.
    pub took: Duration,
}

impl Cell {
    pub(crate) fn new(task: Task) -> Self {
        Self {
            task,
            trap: String::new(),
            verdict: Verdict::default(),
            recovery: None,
            noticed: false,
            acquired: 0,
            dead: 0,
            waiting: 0,
            error: None,
            said: String::new(),
            took: Duration::ZERO,
        }
    }

    /// What must not be, in words; nothing where all is well.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        if let Some(error) = &self.error {
            return vec![format!("not run to its end: {error}")];
        }
        let v = &self.verdict;
        let count = |what: &str, n: usize| (n > 0).then(|| format!("{n} {what}"));
        let must = |holds: bool, what: &str| (!holds).then(|| what.to_owned());
        let dead = i64::from(self.task.fault == Fault::Poison);
        // On a full disk a relay can take its lease again, but not settle: each process sends its window once, and then
        // one message each time.
        let full = self.task.fault == Fault::DatabaseFull;
        let duplicates = if full { Timing::WINDOW * 2 + self.acquired } else { Timing::WINDOW };
        // And every commit fails in the meantime.
        let unknown = if full { v.committed } else { v.committed / 2 };
        let late = |took: Duration| format!("recovered after {took:.1?}, not within {:?}", Timing::RECOVERY);
        [
            count("lost", v.lost.len()),
            count("inversions", v.inversions.len()),
            count("invented", v.invented.len()),
            count("changed on the way", v.corrupted.len()),
            must(v.duplicates <= duplicates, &format!("{} duplicates, more than {duplicates}", v.duplicates)),
            must(self.dead == dead, &format!("{} dead letters, not {dead}", self.dead)),
            must(self.waiting == 0, &format!("{} still waiting", self.waiting)),
            match self.recovery {
                None => Some("not recovered".to_owned()),
                Some(took) => must(took <= Timing::RECOVERY, &late(took)),
            },
            // Else the run shows nothing.
            must(self.noticed, "nobody has noticed the fault"),
            must(v.committed >= 200, &format!("only {} messages were written", v.committed)),
            must(v.undone <= unknown, &format!("of {} messages it is not known that they were", v.undone)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Messages that are lost or came too early: what a bug of a relay does.
    #[must_use]
    pub fn harm(&self) -> usize {
        self.verdict.lost.len() + self.verdict.inversions.len()
    }
}

#[cfg(test)]
mod tests {
    use outbox_conformance::{Expected, Ledger};

    use super::*;
    use crate::{BrokerKind, DatabaseKind};

    fn clean() -> Cell {
        let ledger = Ledger::new();
        for n in 0..300_u64 {
            ledger.committed(&Expected::new(n, b"x").key("k").order(n));
            ledger.received(n, Some("k"), b"x");
        }
        let (fault, database, broker) = (Fault::Zombie, DatabaseKind::Postgres, BrokerKind::Nats);
        let mut cell = Cell::new(Task { fault, database, broker, seed: 1 });
        (cell.verdict, cell.recovery, cell.noticed) = (ledger.check(), Some(Timing::LEASE), true);
        cell
    }

    type Breaks = fn(&mut Cell);

    #[test]
    fn what_a_cell_must_not_show_is_said() {
        assert_eq!(clean().wrong(), Vec::<String>::new());
        let broken: [(Breaks, &str); 9] = [
            (|cell| cell.verdict.lost = vec!["1".into()], "1 lost"),
            (|cell| cell.verdict.duplicates = 201, "201 duplicates, more than 200"),
            (|cell| cell.dead = 1, "1 dead letters, not 0"),
            (|cell| cell.waiting = 3, "3 still waiting"),
            (|cell| cell.recovery = None, "not recovered"),
            (|cell| cell.recovery = Some(Duration::from_millis(5_100)), "recovered after 5.1s, not within 5s"),
            (|cell| cell.verdict.committed = 100, "only 100 messages were written"),
            (|cell| cell.noticed = false, "nobody has noticed the fault"),
            (|cell| cell.error = Some("why".into()), "not run to its end: why"),
        ];
        for (breaks, said) in broken {
            let mut cell = clean();
            breaks(&mut cell);
            assert_eq!(cell.wrong(), [said]);
        }
    }
}
