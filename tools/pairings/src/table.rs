use std::fmt;

use crate::{Cell, Store};

/// A line for every pairing.
#[derive(Debug)]
pub struct Table {
    stores: Vec<Store>,
    transports: Vec<&'static str>,
    cells: Vec<Cell>,
}

impl Table {
    /// Of these stores with these transports, as far as they were run.
    #[must_use]
    pub fn new(stores: &[Store], transports: &[&'static str], cells: Vec<Cell>) -> Self {
        Self { stores: stores.to_vec(), transports: transports.to_vec(), cells }
    }

    /// All that must not be, each with its pairing: also a pairing that was not run, or twice.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        let pairing = |(transport, store): (&'static str, Store)| {
            let wrong = match self.cells_of(transport, store).as_slice() {
                [] => vec!["was not run".to_owned()],
                [cell] => cell.wrong(),
                _ => vec!["was run twice".to_owned()],
            };
            wrong.into_iter().map(move |wrong| format!("{store} to {transport}: {wrong}"))
        };
        self.pairings().flat_map(pairing).collect()
    }

    fn pairings(&self) -> impl Iterator<Item = (&'static str, Store)> {
        self.transports.iter().flat_map(|transport| self.stores.iter().map(move |store| (*transport, *store)))
    }

    fn cells_of(&self, transport: &str, store: Store) -> Vec<&Cell> {
        self.cells.iter().filter(|cell| cell.transport == transport && cell.store == store).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<11} {:<22} {:>8} {:>6} {:>10} {:>4} {:>10} {:>8} {:>4} {:>8}  broker",
            "transport",
            "store",
            "messages",
            "before",
            "duplicates",
            "lost",
            "inversions",
            "invented",
            "dead",
            "drained"
        )?;
        for (transport, store) in self.pairings() {
            write!(f, "{transport:<11} {store:<22} ")?;
            let cells = self.cells_of(transport, store);
            if cells.is_empty() {
                write!(f, "not run")?;
            }
            for cell in cells {
                let v = &cell.verdict;
                let drained = cell.drained.map_or("never".into(), |took| format!("{:.1} s", took.as_secs_f64()));
                write!(
                    f,
                    "{:>8} {:>6} {:>10} {:>4} {:>10} {:>8} {:>4} {drained:>8}  {}",
                    v.committed,
                    cell.before,
                    v.duplicates,
                    v.lost.len(),
                    v.inversions.len(),
                    v.invented.len(),
                    cell.dead,
                    cell.fault
                )?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outbox_conformance::{Expected, Ledger};

    use super::*;
    use crate::{MESSAGES, STORES, TRANSPORTS};

    fn cell(store: Store, transport: &'static str) -> Cell {
        let ledger = Ledger::new();
        for n in 0..MESSAGES as u64 {
            ledger.committed(&Expected::new(n, b"x").key("k").order(n));
            ledger.received(n, Some("k"), b"x");
        }
        Cell {
            store,
            transport,
            fault: "none",
            verdict: ledger.check(),
            rolled_back: 1,
            before: 1,
            outages: 1,
            dead: 0,
            waiting: 0,
            drained: Some(Duration::ZERO),
        }
    }

    fn whole() -> Table {
        let cells = TRANSPORTS.iter().flat_map(|transport| STORES.iter().map(|store| cell(*store, transport)));
        Table::new(&STORES, &TRANSPORTS, cells.collect())
    }

    #[test]
    fn every_pairing_must_be_there_once() {
        let mut table = whole();
        assert_eq!(table.wrong(), Vec::<String>::new());
        let last = table.cells.pop().expect("a cell");
        assert_eq!(table.wrong(), [format!("{} to {}: was not run", last.store, last.transport)]);
        table.cells.extend([last.clone(), last]);
        assert!(table.wrong()[0].ends_with("was run twice"), "{:?}", table.wrong());
    }

    type Breaks = fn(&mut Cell);

    #[test]
    fn what_a_cell_must_not_show_is_said() {
        let broken: [(Breaks, &str); 7] = [
            (|cell| cell.dead = 2, "2 dead letters"),
            (|cell| cell.waiting = 3, "3 still waiting"),
            (|cell| cell.drained = None, "not drained"),
            (|cell| cell.outages = 0, "the relay has not noticed that the broker failed"),
            (|cell| cell.before = 0, "the broker did not fail in the middle"),
            (|cell| cell.rolled_back = 0, "no transaction was rolled back"),
            (|cell| cell.verdict.committed = 1, "1 messages were written, not 1000"),
        ];
        for (breaks, said) in broken {
            let mut cell = cell(STORES[0], TRANSPORTS[0]);
            breaks(&mut cell);
            assert_eq!(cell.wrong(), [said]);
        }
    }
}
