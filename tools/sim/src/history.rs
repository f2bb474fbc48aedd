//! What happened, line by line, and a digest of it.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Longer histories go on without being written down.
const LONGEST: usize = 200_000;

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub struct History {
    lines: Vec<(u64, String)>,
}

impl History {
    pub(crate) fn add(&mut self, at: u64, line: String) {
        if self.lines.len() < LONGEST {
            self.lines.push((at, line));
        }
    }

    /// Equal for equal histories.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.lines.hash(&mut hasher);
        hasher.finish()
    }

    /// How many lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl std::fmt::Display for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, line) in &self.lines {
            writeln!(f, "{:>4}.{:03}  {line}", at / 1_000, at % 1_000)?;
        }
        Ok(())
    }
}
