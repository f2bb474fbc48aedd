use std::fmt;

/// How many examples of each kind of fault are printed.
const EXAMPLES: usize = 5;

/// What a [`Ledger`](crate::Ledger) found. Prints as a short table with the first examples of each kind of fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// How many messages were committed.
    pub committed: usize,
    /// How many copies of known messages arrived.
    pub received: usize,
    /// Messages that were committed but neither arrived nor are dead letters: G2 broken. By key and position.
    pub lost: Vec<String>,
    /// Ids that arrived, or are dead letters, without a committed message: G1 broken. In order of arrival.
    pub invented: Vec<String>,
    /// First occurrences that came after a later message of their key: G3 broken. In order of arrival.
    pub inversions: Vec<Inversion>,
    /// Messages of which a copy had another payload or key than was committed. In order of arrival.
    pub corrupted: Vec<String>,
    /// Extra copies of all messages together, which G4 bounds.
    pub duplicates: usize,
    /// Copies of the message that arrived most often; 1 if there are no duplicates, 0 if nothing arrived.
    pub max_copies: usize,
    /// Distinct dead letters.
    pub dead_letters: usize,
    /// Messages whose commit is void or unknown.
    pub undone: usize,
    /// How many of those were delivered all the same.
    pub undone_delivered: usize,
}

/// Two messages of one key whose first occurrences arrived in the wrong order (G3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inversion {
    /// The key of both.
    pub key: String,
    /// The message that came too early: the one with the highest position so far.
    pub early: String,
    /// The message that should have come before it.
    pub late: String,
}

impl Verdict {
    /// Whether G1 to G3 hold, and G4 with at most `max_duplicates` extra copies.
    #[must_use]
    pub fn is_clean(&self, max_duplicates: usize) -> bool {
        self.lost.is_empty()
            && self.invented.is_empty()
            && self.inversions.is_empty()
            && self.corrupted.is_empty()
            && self.duplicates <= max_duplicates
    }

    /// Fails the test unless [`is_clean`](Self::is_clean), and also if nothing was committed: that would check nothing.
    ///
    /// # Panics
    /// With the verdict as a table.
    #[track_caller]
    pub fn assert_clean(&self, max_duplicates: usize) {
        assert!(self.committed > 0, "nothing was committed, so nothing was checked\n{self}");
        assert!(
            self.is_clean(max_duplicates),
            "the promises were broken (at most {max_duplicates} duplicates allowed)\n{self}"
        );
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16}{:>9}", "committed", self.committed)?;
        writeln!(f, "{:<16}{:>9}", "received", self.received)?;
        row(f, "lost (G2)", &self.lost)?;
        row(f, "invented (G1)", &self.invented)?;
        row(f, "inversions (G3)", &self.inversions)?;
        row(f, "corrupted", &self.corrupted)?;
        writeln!(f, "{:<16}{:>9}  at most {} of one", "duplicates (G4)", self.duplicates, self.max_copies)?;
        writeln!(f, "{:<16}{:>9}", "dead letters", self.dead_letters)?;
        write!(f, "{:<16}{:>9}  {} delivered", "undone", self.undone, self.undone_delivered)
    }
}

impl fmt::Display for Inversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} before {} (key {})", self.early, self.late, self.key)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, faults: &[impl fmt::Display]) -> fmt::Result {
    write!(f, "{name:<16}{:>9}", faults.len())?;
    for (n, fault) in faults.iter().take(EXAMPLES).enumerate() {
        write!(f, "{}{fault}", if n == 0 { "  " } else { ", " })?;
    }
    if faults.len() > EXAMPLES {
        write!(f, ", ...")?;
    }
    writeln!(f)
}
