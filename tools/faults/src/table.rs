use std::fmt;

use crate::{Cell, Timing};

/// A line for every cell.
#[derive(Debug)]
pub struct Table(Vec<Cell>);

impl Table {
    /// Of what was run.
    #[must_use]
    pub fn new(cells: Vec<Cell>) -> Self {
        Self(cells)
    }

    /// All that must not be, each with its cell.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        let of_cell = |cell: &Cell| {
            let (name, trap, said) = (cell.task.to_string(), cell.trap.clone(), cell.said.clone());
            cell.wrong().into_iter().map(move |wrong| format!("{name} ({trap}): {wrong}\n{said}"))
        };
        self.0.iter().flat_map(of_cell).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<27} {:<9} {:<9} {:>8} {:>10} {:>5} {:>10} {:>9} {:>6}  struck at",
            "fault", "database", "broker", "messages", "duplicates", "lost", "inversions", "recovery", "run"
        )?;
        for cell in &self.0 {
            writeln!(f, "{}", Line(cell))?;
        }
        let worst = self.0.iter().filter_map(|cell| cell.recovery).max().unwrap_or_default();
        writeln!(
            f,
            "{} cells; allowed: {} duplicates, recovery within {:.0} s; the slowest {:.1} s",
            self.0.len(),
            Timing::WINDOW,
            Timing::RECOVERY.as_secs_f64(),
            worst.as_secs_f64()
        )
    }
}

/// One line of the table, to be shown while others still run.
#[derive(Debug)]
pub struct Line<'a>(pub &'a Cell);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cell, v) = (self.0, &self.0.verdict);
        let recovery = cell.recovery.map_or("never".into(), |took| format!("{:.1} s", took.as_secs_f64()));
        write!(
            f,
            "{:<27} {:<9} {:<9} {:>8} {:>10} {:>5} {:>10} {recovery:>9} {:>4.0} s  {}{}",
            cell.task.fault,
            cell.task.database,
            cell.task.broker,
            v.committed,
            v.duplicates,
            v.lost.len(),
            v.inversions.len(),
            cell.took.as_secs_f64(),
            cell.trap,
            if cell.wrong().is_empty() { "" } else { "  WRONG" }
        )
    }
}
