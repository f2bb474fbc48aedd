use std::collections::{HashMap, HashSet, VecDeque};
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
///
/// Publishes that hold messages of a key back take turns in the order in which they asked first. So while one waits,
/// others go on with other keys: a partition that does not answer keeps nobody else waiting.
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
    /// By key: the publishes that hold messages of it back.
    behind: HashMap<u64, VecDeque<usize>>,
}

impl Keys {
    /// Whether a message of this key may be sent now, the one of this index in this publish. If not, the publish takes
    /// its place in front of every later one, and asks again when something was [answered](Self::any_answered), for this message
    /// before any other of the key; and says when it has [caught up](Self::caught_up).
    pub(crate) fn admit(&self, key: u64, publish: usize, index: usize) -> bool {
        let mut state = self.state();
        let State { open, firsts, waiting, behind } = &mut *state;
        let in_turn = behind.get(&key).and_then(VecDeque::front).is_none_or(|front| *front == publish);
        if in_turn && open.contains(&key) {
            return true;
        }
        if in_turn && waiting.insert(key) {
            firsts.insert(publish + index, key);
            self.under_way.fetch_add(1, Ordering::AcqRel);
            return true;
        }
        let publishes = behind.entry(key).or_default();
        if !publishes.contains(&publish) {
            publishes.push_back(publish);
        }
        false
    }

    /// The publish holds no message of this key back any more.
    pub(crate) fn caught_up(&self, key: u64, publish: usize) {
        let mut state = self.state();
        let Some(publishes) = state.behind.get_mut(&key) else { return };
        publishes.retain(|behind| *behind != publish);
        if publishes.is_empty() {
            state.behind.remove(&key);
        } else {
            self.answered.notify_waiters();
        }
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
        self.under_way.fetch_sub(1, Ordering::AcqRel);
        self.answered.notify_waiters();
    }

    /// Completes when some key may have become free after it was first polled or enabled.
    pub(crate) fn any_answered(&self) -> tokio::sync::futures::Notified<'_> {
        self.answered.notified()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Two publishes.
    const A: usize = 100;
    const B: usize = 200;

    #[test]
    fn a_key_is_open_when_its_first_message_was_delivered() {
        let keys = Keys::default();
        assert!(keys.admit(1, A, 0) && keys.admit(2, A, 1));
        assert!(!keys.admit(1, A, 2), "its first message is under way");
        keys.answered(A, true);
        assert!(keys.admit(1, A, 2) && keys.admit(1, A, 3));
        keys.answered(A + 1, false);
        assert!(keys.admit(2, A, 4) && !keys.admit(2, A, 5), "what failed opens nothing");
    }

    #[test]
    fn nothing_passes_what_an_earlier_publish_holds_back() {
        let keys = Keys::default();
        assert!(keys.admit(1, A, 0) && !keys.admit(1, A, 1) && !keys.admit(1, B, 0));
        keys.answered(A, true);
        assert!(!keys.admit(1, B, 0), "the other publish has not asked again yet");
        assert!(keys.admit(2, B, 1), "another key");
        assert!(keys.admit(1, A, 1));
        keys.caught_up(1, A);
        assert!(keys.admit(1, B, 0));
        keys.caught_up(1, B);
        assert!(keys.state().behind.is_empty());
    }

    #[test]
    fn each_answer_is_told() {
        let keys = Keys::default();
        assert!(keys.admit(1, A, 0) && keys.admit(2, B, 0) && !keys.admit(2, B, 1));
        let told = |answer: &dyn Fn()| {
            let mut told = Box::pin(keys.any_answered());
            told.as_mut().enable();
            answer();
            told.now_or_never().is_some()
        };
        assert!(!told(&|| ()));
        assert!(told(&|| keys.answered(B, true)), "whatever the first one of another key waits for");
        assert!(!keys.admit(2, A, 1), "behind the other publish");
        assert!(keys.admit(2, B, 1) && told(&|| keys.caught_up(2, B)), "the next publish of the key may go");
    }
}
