use std::fmt;

use crate::{BrokerKind, DatabaseKind, Fault};

/// One cell to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// What fails.
    pub fault: Fault,
    /// Where messages are written.
    pub database: DatabaseKind,
    /// Where they go.
    pub broker: BrokerKind,
    /// Of all that is left to chance.
    pub seed: u64,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} to {}", self.fault, self.database, self.broker)
    }
}

/// Which cells are run, and with which seed.
///
/// `OUTBOX_TEST_FAULTS`: `full` for all of them; words for those whose name has each of them (`zombie postgres nats`);
/// left out, for a part: every fault once, and every database with every broker. `OUTBOX_TEST_FAULTS_SEED` sets the
/// seed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Plan {
    /// Of all cells.
    pub seed: u64,
    /// In the order of the table.
    pub tasks: Vec<Task>,
}

impl Plan {
    /// As the environment wants it.
    ///
    /// # Panics
    /// For words that no cell has, and for a seed that is no number.
    #[must_use]
    pub fn of_environment() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let seed = variable("OUTBOX_TEST_FAULTS_SEED");
        let seed = seed.map_or_else(rand::random, |seed| seed.parse().expect("OUTBOX_TEST_FAULTS_SEED is a number"));
        Self::chosen(variable("OUTBOX_TEST_FAULTS").as_deref(), seed)
    }

    fn chosen(words: Option<&str>, seed: u64) -> Self {
        let mut tasks = all(seed);
        match words {
            Some("full") => {}
            None => {
                let chosen: Vec<_> = tasks.iter().enumerate().filter(|(_, task)| is_of_the_part(task)).collect();
                tasks = chosen.into_iter().map(|(_, task)| *task).collect();
            }
            Some(words) => tasks.retain(|task| {
                let name = task.to_string().to_lowercase();
                words.to_lowercase().split_whitespace().all(|word| name.contains(word))
            }),
        }
        assert!(!tasks.is_empty(), "OUTBOX_TEST_FAULTS is {words:?}: `full`, or words of a cell's name");
        Self { seed, tasks }
    }
}

/// Every cell there is. A cell's own seed depends on its place, not on what else is run.
fn all(seed: u64) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut place = 0_u64;
    for database in DatabaseKind::ALL {
        for broker in BrokerKind::ALL {
            for fault in Fault::ALL {
                place += 1;
                if fault.concerns(database) {
                    tasks.push(Task { fault, database, broker, seed: seed.wrapping_add(place << 32) });
                }
            }
        }
    }
    tasks
}

/// Every fault is met once, and every pair of a database and a broker twice: a fault, and its neighbour in the table,
/// belong to the pair that is their turn.
fn is_of_the_part(task: &Task) -> bool {
    let place = Fault::ALL.iter().position(|fault| *fault == task.fault).unwrap_or_default();
    let (database, broker) = match task.fault {
        // Nobody cuts the connection to a file.
        Fault::DatabaseCut => (0, place % 3),
        Fault::DatabaseKilled => (1, place % 3),
        // MySQL waits for space, so that sometimes nobody sees that there was none.
        Fault::DatabaseFull => (0, place % 3),
        _ => (place % 3, place / 3 % 3),
    };
    DatabaseKind::ALL[database] == task.database && BrokerKind::ALL[broker] == task.broker
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_part_has_every_fault_and_every_pair() {
        let part = Plan::chosen(None, 7);
        let faults: HashSet<_> = part.tasks.iter().map(|task| task.fault).collect();
        let pairs: HashSet<_> = part.tasks.iter().map(|task| (task.database, task.broker)).collect();
        assert_eq!((part.tasks.len(), faults.len(), pairs.len()), (18, 18, 9));
    }

    #[test]
    fn words_choose_cells_which_keep_their_seeds() {
        let full = Plan::chosen(Some("full"), 7);
        assert_eq!(full.tasks.len(), 18 * 9 - 2 * 3);
        let seeds: HashSet<_> = full.tasks.iter().map(|task| task.seed).collect();
        assert_eq!(seeds.len(), full.tasks.len());
        let one = Plan::chosen(Some("Zombie postgres nats"), 7);
        assert_eq!(one.tasks.len(), 1);
        assert!(full.tasks.contains(&one.tasks[0]));
    }
}
