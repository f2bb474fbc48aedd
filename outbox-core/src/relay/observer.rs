use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Finding, MessageId};

/// What a relay tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayEvent {
    /// The lease is ours.
    Acquired {
        /// The fencing epoch.
        epoch: i64,
    },
    /// Another process has the lease.
    Standby,
    /// The relay was paused at the desk.
    Paused,
    /// Processes of this name ended again and again without progress, so that one message at a time is handed over until
    /// the one at fault is found.
    Isolating {
        /// Processes that ended since something was settled.
        crashes: u32,
    },
    /// The lease ended, by an error of the store; the relay acquires anew.
    Lost {
        /// The error with its causes.
        error: String,
    },
    /// The transport does not answer; nothing is lost, and no attempt is counted.
    Outage {
        /// What it said, if it said anything.
        error: Option<String>,
    },
    /// The transport answers again.
    Recovered,
    /// The broker does not have a topic, or refuses us there. Its messages wait in order, at no cost, and those of other
    /// topics go on. One message at a time shows whether it is there again, after the waits of
    /// [`RelayBuilder::outage`](crate::RelayBuilder::outage).
    DestinationHeld {
        /// The topic.
        topic: String,
        /// What the broker said.
        error: String,
    },
    /// The topic is there, or nothing waits for it any more.
    DestinationReleased {
        /// The topic.
        topic: String,
    },
    /// A message was given up on, and its dead letter is on record. Told once by the process that wrote it, and not at
    /// all where that process ends in between: the store has them all.
    DeadLetter {
        /// Of the message.
        id: MessageId,
        /// Of the message.
        topic: String,
        /// Of the message.
        key: Option<String>,
        /// Of the message.
        event_type: String,
        /// Why.
        reason: String,
        /// Attempts made.
        attempts: u32,
    },
    /// A message has no attempt left and stays, with its key behind it, until somebody says what becomes of it: see
    /// [`OnExhausted::BlockKey`](crate::OnExhausted::BlockKey). Told again after each takeover.
    Blocked {
        /// The key that waits.
        key: Option<String>,
        /// What the last attempt ended in.
        error: String,
    },
    /// The broker or its settings will cost messages time or order, or duplicates: said by
    /// [`Transport::check`](crate::Transport::check), or found by the relay itself. Once per process.
    Finding(Finding),
    /// The lease was given up after a drain.
    Released,
}

/// Receives events. Called from the relay's own task: must not block.
pub trait Observer: Debug + Send + Sync + 'static {
    /// Something happened to the relay of this name.
    fn on_event(&self, relay: &str, event: &RelayEvent);
}

/// Figures of a relay, since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RelayStats {
    /// Whether the lease is ours.
    pub active: bool,
    /// Whether the transport answered last time.
    pub connected: bool,
    /// Messages that the transport acknowledged.
    pub delivered: u64,
    /// Attempts that their broker failed. A missing topic is none.
    pub failed: u64,
    /// Messages given up on.
    pub dead: u64,
    /// Outages of the transport.
    pub outages: u64,
    /// Messages handed out and not settled.
    pub window: usize,
    /// Messages that wait for another attempt, or for their topic.
    pub parked: usize,
    /// Messages that wait for somebody to say what becomes of them, with their keys behind them.
    pub blocked: usize,
    /// Topics that the broker does not have or refuses: their messages wait.
    pub destinations_held: usize,
}

/// Live figures of a relay. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RelayHandle(Arc<Mutex<RelayStats>>);

impl RelayHandle {
    /// The figures now.
    pub fn stats(&self) -> RelayStats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut RelayStats)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
