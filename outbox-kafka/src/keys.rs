use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// So many keys are remembered at most, then all are forgotten: each costs one round trip again.
const REMEMBERED: usize = 100_000;

/// Of which keys (within a topic) one client may have many messages under way.
///
/// A broker takes whatever number a client that it does not know begins with. So where the first request of a client to
/// a partition is refused, a later one can still be stored. The first message of each key is therefore confirmed before
/// the next of that key is sent: then the partition knows the client, and refuses what would leave a gap.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    state: Mutex<State>,
    /// How many first messages are under way.
    under_way: AtomicUsize,
    answered: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: HashSet<u64>,
    /// First messages that are under way, by what their records carry.
    firsts: HashMap<usize, u64>,
    waiting: HashSet<u64>,
}

impl Keys {
    /// Whether a message of this key may be sent now. `confirmation` is what its record carries.
    pub(crate) fn admit(&self, key: u64, confirmation: usize) -> bool {
        let mut state = self.state();
        if state.open.contains(&key) {
            return true;
        }
        let first = state.waiting.insert(key);
        if first {
            state.firsts.insert(confirmation, key);
            self.under_way.fetch_add(1, Ordering::AcqRel);
        }
        first
    }

    /// What became of a message that was admitted.
    pub(crate) fn answered(&self, confirmation: usize, delivered: bool) {
        if self.under_way.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.state();
        let Some(key) = state.firsts.remove(&confirmation) else { return };
        state.waiting.remove(&key);
        if delivered {
            if state.open.len() >= REMEMBERED {
                state.open.clear();
            }
            state.open.insert(key);
        }
        if self.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.answered.notify_waiters();
        }
    }

    /// Completes when every first message was answered that is under way when it is first polled or enabled.
    pub(crate) fn all_answered(&self) -> tokio::sync::futures::Notified<'_> {
        self.answered.notified()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_open_when_its_first_message_was_delivered() {
        let keys = Keys::default();
        assert!(keys.admit(1, 10) && keys.admit(2, 20));
        assert!(!keys.admit(1, 11), "its first message is under way");
        keys.answered(10, true);
        assert!(keys.admit(1, 11) && keys.admit(1, 12));
        keys.answered(20, false);
        assert!(keys.admit(2, 21) && !keys.admit(2, 22), "what failed opens nothing");
    }
}
