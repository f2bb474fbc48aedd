use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use crate::{Due, Message, MessageId, clock};

/// What waits until it is due, and the deduplication keys that are remembered.
#[derive(Debug, Default)]
pub(super) struct Scheduled {
    /// In the order in which they become due; with the time of the commit.
    waiting: BTreeMap<(Instant, MessageId), (Message, i64)>,
    keys: HashMap<String, Instant>,
}

/// As long as a SQL store remembers a key unless it is told otherwise.
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3_600);

impl Scheduled {
    /// Gives the message back where it is to be delivered now. One whose deduplication key is known is dropped.
    pub(super) fn keep(&mut self, message: Message, created_at: i64) -> Option<Message> {
        let now = clock::now();
        if let Some(key) = &message.dedup_key {
            self.keys.retain(|_, end| *end > now);
            if self.keys.contains_key(key) {
                return None;
            }
            self.keys.insert(key.clone(), now + WINDOW);
        }
        let wait = match message.due {
            None => return Some(message),
            Some(Due::After(time)) => time,
            Some(Due::At(time)) => time.duration_since(SystemTime::now()).unwrap_or_default(),
        };
        // What an Instant cannot hold is never due.
        if let Some(due) = now.checked_add(wait) {
            self.waiting.insert((due, message.id), (message, created_at));
        }
        None
    }

    /// Says whether it was waiting.
    pub(super) fn cancel(&mut self, id: MessageId) -> bool {
        let waiting = self.waiting.keys().find(|(_, waiting)| *waiting == id).copied();
        waiting.is_some_and(|place| self.waiting.remove(&place).is_some())
    }

    /// Takes out what is due.
    pub(super) fn due(&mut self) -> Vec<(Message, i64)> {
        let now = clock::now();
        let mut due = Vec::new();
        while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        due
    }
}
