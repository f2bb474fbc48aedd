use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use outbox_core::log::Log;
use outbox_core::{Lease, MessageRef, Slot, TopicFilter};

use super::progress::Progress;
use crate::replay::Selection;
use crate::{Connection, Value, retain, schedule};

/// What is remembered under one lease, and the connections that work under it.
pub(super) struct Session {
    pub(super) lease: Lease,
    pub(super) topics: TopicFilter,
    /// Which messages are covered, of a name that replays.
    pub(super) replay: Option<Selection>,
    pub(super) patience: Duration,
    pub(super) log: Mutex<Log>,
    pub(super) progress: Mutex<Progress>,
    /// What a takeover found and was not fetched yet.
    pub(super) backlog: Mutex<VecDeque<Slot>>,
    pub(super) fetching: tokio::sync::Mutex<Reader>,
    /// `None` after an error or a cancelled call: whether it was applied is not known.
    pub(super) settling: tokio::sync::Mutex<Option<Box<dyn Connection>>>,
    /// They end with the session.
    pub(super) _retention: Option<retain::Task>,
    pub(super) _mover: schedule::Task,
}

/// The connection that fetches, and what is known of what it reads.
pub(super) struct Reader {
    pub(super) conn: Box<dyn Connection>,
    /// The sequence as it was at the acquisition; another one has begun anew.
    pub(super) sequence: Option<i64>,
    pub(super) sequence_seen: Instant,
    /// Bytes of the latest batch: the room for the next one.
    pub(super) bytes: usize,
}

impl Session {
    /// The first three parameters of every fenced statement.
    pub(super) fn own(&self) -> Vec<Value> {
        own(&self.lease)
    }

    /// Whether this name is to hand a message out. Every other one counts as settled.
    pub(super) fn covers(&self, m: &MessageRef<'_>) -> bool {
        covers(&self.topics, self.replay.as_ref(), m)
    }
}

pub(super) fn covers(topics: &TopicFilter, replay: Option<&Selection>, m: &MessageRef<'_>) -> bool {
    topics.matches(m.topic()) && replay.is_none_or(|replay| replay.covers(m))
}

/// The first three parameters of every fenced statement.
pub(super) fn own(lease: &Lease) -> Vec<Value> {
    vec![Value::from(lease.relay.as_str()), Value::from(lease.epoch), Value::Uuid(lease.token)]
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("lease", &self.lease).finish_non_exhaustive()
    }
}
