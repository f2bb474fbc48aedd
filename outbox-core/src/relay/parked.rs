//! What the relay remembers of a parked message; the store keeps the rest.

use std::time::Instant;

use super::destinations::Hold;
use super::policy::Rule;

#[derive(Debug, Clone)]
pub(crate) struct Parked {
    pub(crate) lane: Lane,
    pub(crate) key: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) due: Instant,
    /// Its own; what it waits for has another.
    pub(crate) error: Option<String>,
    /// What an attempt ended in that may have been an outage: its own error, if it turns out that it was none.
    pub(crate) said: Option<String>,
    /// It is of a topic that was held when it was last looked at.
    pub(crate) hold: Option<Hold>,
    /// How often its topic failed for it when it was not held. Only the first release makes it due at once: a topic may
    /// be there for others.
    pub(crate) refused: u32,
    /// How often it got no answer together with others, at no attempt.
    pub(crate) let_off: u32,
    /// Some attempt may still arrive at the broker.
    pub(crate) maybe_sent: bool,
    /// The policy of its event type, which only a message that was read tells.
    pub(crate) rule: Option<Rule>,
    pub(crate) fate: Fate,
}

/// What waits in line together: a key, or by itself a message that is unkeyed or that its key goes on without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lane {
    Key(u64),
    Alone(i64),
}

/// Where a message comes from that is parked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// What was read and not handed over: others of its key may be ready in front of it.
    Ready,
    /// A publish, as the first of its key that failed.
    Flight,
    /// It was parked before.
    Parked,
}

/// What happens when a message is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Another attempt.
    Retry,
    /// It becomes a dead letter.
    Bury,
    /// Nothing, until somebody says what.
    Block,
}

impl Parked {
    /// Behind others, or for a topic: at no attempt, and due at once.
    pub(crate) fn untried(lane: Lane, key: Option<&str>, rule: Rule, now: Instant) -> Self {
        Self {
            lane,
            key: key.map(str::to_owned),
            attempts: 0,
            due: now,
            error: None,
            said: None,
            hold: None,
            refused: 0,
            let_off: 0,
            maybe_sent: false,
            rule: Some(rule),
            fate: Fate::Retry,
        }
    }

    /// Whether, as it was left by the process before this one, its topic failed: that alone has a reason and costs no
    /// attempt.
    pub(crate) fn was_held(&self) -> bool {
        self.attempts == 0 && self.error.is_some() && self.hold.is_none()
    }
}
