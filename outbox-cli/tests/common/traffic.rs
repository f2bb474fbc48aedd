//! Messages whose place within their key can be read from themselves, what is noted of them, and the judgement.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outbox::Message;
use outbox_conformance::{Expected, Ledger, Verdict};
use rand::Rng;
use rand::rngs::StdRng;
use testkit::KafkaRecord;
use tokio::sync::watch;

/// A message as a table holds it: id, key, payload.
pub(crate) type Stored = (String, String, Vec<u8>);

/// The `n`th message of its key.
pub(crate) fn numbered(topic: &str, key: &str, n: i64) -> Message {
    let text = format!("{key}:{n}:{}", "x".repeat(usize::try_from(n).unwrap_or(0) % 200));
    Message::new(topic, "order.changed").key(key).text(text).header("number", n.to_string())
}

/// Compares what arrived with what the table holds. `elsewhere`: ids that were committed as far as their writers know;
/// those that the table lacks were undone by a crash.
pub(crate) fn judge(
    stored: &[Stored],
    elsewhere: impl IntoIterator<Item = String>,
    records: &[KafkaRecord],
) -> Verdict {
    let ledger = Ledger::new();
    let mut known = HashSet::new();
    for (id, key, payload) in stored {
        let text = std::str::from_utf8(payload).expect("a payload of `numbered`");
        let mut parts = text.split(':');
        assert_eq!(parts.next(), Some(key.as_str()), "{id} holds the payload of another key");
        let n = parts.next().and_then(|n| n.parse().ok()).expect("a number");
        ledger.committed(&Expected::new(id, payload).key(key).order(n));
        known.insert(id.as_str());
    }
    for id in elsewhere.into_iter().filter(|id| !known.contains(id.as_str())) {
        ledger.undone(id);
    }
    for record in records {
        ledger.received(record.header("message-id").unwrap_or("(no id)"), record.key(), &record.payload);
    }
    ledger.check()
}

/// What the writers know of what they wrote.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    ids: Mutex<HashSet<String>>,
    rolled_back: Mutex<HashSet<String>>,
    committed: watch::Sender<u64>,
    unknown: watch::Sender<u64>,
}

/// How a transaction ended, with the ids of its messages.
#[derive(Debug)]
pub(crate) enum Ended {
    Committed(Vec<String>),
    /// The commit failed: it counts or not.
    Unknown(Vec<String>),
    RolledBack(Vec<String>),
}

impl Notes {
    /// Gives how many messages were committed, as far as anyone knows.
    pub(crate) fn ended(&self, ended: Ended) -> u64 {
        let (ids, count) = match ended {
            Ended::RolledBack(ids) => {
                lock(&self.rolled_back).extend(ids);
                return 0;
            }
            Ended::Committed(ids) => (ids, &self.committed),
            Ended::Unknown(ids) => (ids, &self.unknown),
        };
        let n = ids.len() as u64;
        lock(&self.ids).extend(ids);
        count.send_modify(|count| *count += n);
        n
    }

    /// Completes when so many messages were committed.
    pub(crate) async fn reached(&self, messages: u64) {
        let mut committed = self.committed.subscribe();
        committed.wait_for(|n| *n >= messages).await.expect("the notes are there");
    }

    /// Every id of which a transaction was committed, or may have been.
    pub(crate) fn ids(&self) -> HashSet<String> {
        lock(&self.ids).clone()
    }

    pub(crate) fn rolled_back(&self) -> HashSet<String> {
        lock(&self.rolled_back).clone()
    }

    pub(crate) fn unknown(&self) -> u64 {
        *self.unknown.borrow()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one transaction is to do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The keys and how many messages each, in an order in which writers cannot deadlock.
    pub(crate) keys: Vec<(String, i64)>,
    /// Each key is first written in a savepoint that is rolled back to.
    pub(crate) undo: bool,
    /// Messages are written one by one, each in a savepoint that is kept; else all with one call.
    pub(crate) savepoints: bool,
    pub(crate) roll_back: bool,
    /// With each key's lock held, so that transactions overlap.
    pub(crate) pause: Duration,
}

impl Plan {
    pub(crate) fn draw(chance: &mut StdRng, keys: u32) -> Self {
        let mut chosen = vec![chance.random_range(0..keys)];
        if chance.random_bool(0.3) {
            chosen.push(chance.random_range(0..keys));
        }
        chosen.sort_unstable();
        chosen.dedup();
        Self {
            keys: chosen.into_iter().map(|k| (format!("k{k}"), chance.random_range(1..=4))).collect(),
            undo: chance.random_bool(0.2),
            savepoints: chance.random_bool(0.3),
            roll_back: chance.random_bool(0.1),
            pause: Duration::from_micros(chance.random_range(0..20_000)),
        }
    }
}

/// When the `written`th of `all` messages is due, so that they are spread over `run`.
pub(crate) async fn pace(began: tokio::time::Instant, run: Duration, written: u64, all: u64) {
    tokio::time::sleep_until(began + run.mul_f64(written as f64 / all as f64)).await;
}
