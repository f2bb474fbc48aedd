//! What the lines of the file say, and what follows from all of them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use outbox::{BatchBuilder, Message, Row, SeqSet};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A transaction. A message's place in the file is its seq.
    Committed(Vec<Kept>),
    /// A new lease of a relay name; a new name starts behind `after`.
    Acquired { relay: String, after: i64 },
    /// What became of messages: ranges that are done, what waits for another attempt, what was given up.
    Settled { relay: String, done: Vec<(i64, i64)>, parked: BTreeMap<i64, Parked>, dead: BTreeMap<i64, String> },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept(u128, i64, String, Option<String>, String, Vec<u8>, Option<String>, Option<String>);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parked {
    pub(crate) key: Option<String>,
    pub(crate) attempts: u32,
    /// Microseconds since 1970.
    pub(crate) due: i64,
    pub(crate) error: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) messages: Vec<Kept>,
    pub(crate) relays: BTreeMap<String, Progress>,
}

#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) epoch: i64,
    pub(crate) done: SeqSet,
    pub(crate) parked: BTreeMap<i64, Parked>,
    pub(crate) dead: BTreeMap<i64, String>,
}

impl Entry {
    pub(crate) fn done(relay: &str, done: Vec<(i64, i64)>) -> Self {
        Self::Settled { relay: relay.to_owned(), done, parked: BTreeMap::new(), dead: BTreeMap::new() }
    }
}

impl Kept {
    pub(crate) fn new(m: Message, at: i64) -> Self {
        let (id, headers) = (m.id.as_uuid().as_u128(), m.headers_json());
        Self(id, at, m.topic, m.key, m.event_type, m.payload.into(), m.content_type, headers)
    }

    fn row(&self, seq: i64) -> Row<'_> {
        let Self(id, created_at, topic, key, event_type, payload, content_type, headers) = self;
        let (key, content_type, headers) = (key.as_deref(), content_type.as_deref(), headers.as_deref());
        Row { seq, id: *id, created_at: *created_at, topic, key, event_type, payload, content_type, headers }
    }
}

impl Book {
    /// Numbers start with 1; one that no message has is left out.
    pub(crate) fn push(&self, seqs: impl Iterator<Item = i64>, batch: &mut BatchBuilder) {
        for seq in seqs {
            let kept = usize::try_from(seq - 1).ok().and_then(|place| self.messages.get(place));
            kept.into_iter().for_each(|kept| batch.push(&kept.row(seq)));
        }
    }

    pub(crate) fn topic(&self, seq: i64) -> &str {
        &self.messages[seq as usize - 1].2
    }

    pub(crate) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Committed(messages) => self.messages.extend(messages),
            Entry::Acquired { relay, after } => {
                let of = self.relays.entry(relay).or_default();
                if of.epoch == 0 && after > 0 {
                    of.done.insert_range(1, after);
                }
                of.epoch += 1;
            }
            Entry::Settled { relay, done, parked, dead } => {
                let of = self.relays.entry(relay).or_default();
                let dead_ranges = dead.keys().map(|seq| (*seq, *seq));
                for (from, to) in done.into_iter().chain(dead_ranges) {
                    of.done.insert_range(from, to);
                    of.parked.retain(|seq, _| !(from..=to).contains(seq));
                }
                of.parked.extend(parked);
                of.dead.extend(dead);
            }
        }
    }
}

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}
