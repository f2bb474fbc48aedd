//! The lines by which a relay process tells the rig what happens, written and read.

use std::str::FromStr;

use outbox_core::{Observer, RelayEvent};

/// Begins the line of a trap that has struck.
pub(crate) const STRUCK: &str = "trap";

/// The broker has acknowledged messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// How many.
    pub(crate) messages: usize,
    /// When the last one of them was written, by the database's clock: microseconds since 1970.
    pub(crate) newest: i64,
}

impl std::fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "acknowledged {} newest {}", self.messages, self.newest)
    }
}

impl FromStr for Acknowledged {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (messages, newest) = line.strip_prefix("acknowledged ").and_then(|s| s.split_once(" newest ")).ok_or(())?;
        Ok(Self { messages: messages.parse().map_err(drop)?, newest: newest.parse().map_err(drop)? })
    }
}

/// Prints the relay's events.
#[derive(Debug)]
pub(super) struct Printed;

impl Observer for Printed {
    fn on_event(&self, _relay: &str, event: &RelayEvent) {
        println!("{event:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let said = Acknowledged { messages: 7, newest: 1_764_549_221_123_456 };
        assert_eq!(said.to_string().parse(), Ok(said));
        assert_eq!("Acquired { epoch: 1 }".parse::<Acknowledged>(), Err(()));
    }
}
