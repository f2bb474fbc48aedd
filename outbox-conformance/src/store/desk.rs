//! The words in which the cases are written.

use outbox_core::{
    AcquireRequest, Acquired, Batch, DeadLetter, FetchLimits, Lease, Message, ParkedMessage, SeqSet, Settlement, Store,
    StoreError,
};

use super::{LEASE, StoreHarness};
use crate::Seen;

pub(super) const RELAY: &str = "orders";
/// The owner of most leases, and one that competes with it.
pub(super) const OWNER: u128 = 1;
pub(super) const RIVAL: u128 = 2;
/// More than any case has to fetch at once.
pub(super) const MANY: usize = 1_000;

/// A message that was handed out: its place, and the tag that it carries as payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handed {
    pub(super) seq: i64,
    pub(super) tag: String,
}

/// A relay's side: a store as its process opened it, and what `acquire` gave.
#[derive(Debug)]
pub(super) struct Reader<S> {
    pub(super) store: S,
    pub(super) lease: Lease,
    pub(super) parked: Vec<ParkedMessage>,
}

pub(super) fn message(tag: &str) -> Message {
    Message::new("t", "e").payload(tag.to_owned())
}

pub(super) fn keyed(key: &str, tag: &str) -> Message {
    message(tag).key(key)
}

pub(super) fn on(topic: &str, tag: &str) -> Message {
    let mut message = message(tag);
    message.topic = topic.to_owned();
    message
}

pub(super) fn request(relay: &str, owner: u128) -> AcquireRequest {
    let mut request = AcquireRequest::new(relay, owner);
    request.lease = LEASE;
    request
}

/// Enqueues messages with these tags, in one transaction.
pub(super) async fn commit<H: StoreHarness>(h: &H, tags: &[&str]) -> Result<(), Seen> {
    commit_all(h, tags.iter().map(|tag| message(tag))).await
}

pub(super) async fn commit_all<H: StoreHarness>(
    h: &H,
    messages: impl IntoIterator<Item = Message>,
) -> Result<(), Seen> {
    let mut tx = h.begin().await;
    for message in messages {
        h.enqueue(&mut tx, message).await?;
    }
    Ok(h.commit(tx).await?)
}

/// Acquires a lease that must be free, in a process of its own.
pub(super) async fn acquire<H: StoreHarness>(h: &H, request: &AcquireRequest) -> Result<Reader<H::Store>, Seen> {
    let store = h.store().await;
    match store.acquire(request).await? {
        Acquired::Yes(lease, parked) => Ok(Reader { store, lease, parked }),
        Acquired::Held(wait) => {
            Err(Seen::new(format!("the lease of {:?} should be free, but is held for {wait:?}", request.relay)))
        }
    }
}

/// The first lease of a case.
pub(super) async fn reader<H: StoreHarness>(h: &H) -> Result<Reader<H::Store>, Seen> {
    acquire(h, &request(RELAY, OWNER)).await
}

/// The next lease: of the same owner, in a process of its own, after the former one expired. Either would be enough.
pub(super) async fn successor<H: StoreHarness>(h: &H) -> Result<Reader<H::Store>, Seen> {
    h.age(RELAY, 2 * LEASE).await;
    reader(h).await
}

impl<S: Store> Reader<S> {
    pub(super) async fn batch(&self, messages: usize) -> Result<Batch, StoreError> {
        self.store.fetch(&self.lease, FetchLimits { messages }).await
    }

    /// By tag: what order is promised is the business of the cases that ask for it.
    pub(super) async fn fetch(&self, messages: usize) -> Result<Vec<Handed>, Seen> {
        Ok(by_tag(self.fetch_in_order(messages).await?))
    }

    pub(super) async fn fetch_in_order(&self, messages: usize) -> Result<Vec<Handed>, Seen> {
        Ok(handed(&self.batch(messages).await?))
    }

    /// Fetches until nothing is left. By tag.
    pub(super) async fn drain(&self, messages: usize) -> Result<Vec<Handed>, Seen> {
        Ok(by_tag(self.drain_in_order(messages).await?))
    }

    pub(super) async fn drain_in_order(&self, messages: usize) -> Result<Vec<Handed>, Seen> {
        let mut all = Vec::new();
        loop {
            let batch = self.fetch_in_order(messages).await?;
            if batch.is_empty() {
                return Ok(all);
            }
            all.extend(batch);
            if all.len() > 100 * MANY {
                return Err(Seen::new("messages are handed out without end"));
            }
        }
    }

    pub(super) async fn settle(&self, settlement: &Settlement) -> Result<(), StoreError> {
        self.store.settle(&self.lease, settlement).await
    }

    pub(super) async fn deliver(&self, messages: &[Handed]) -> Result<(), StoreError> {
        self.settle(&delivered(messages.iter().map(|m| m.seq))).await
    }

    pub(super) async fn read(&self, seqs: &[i64]) -> Result<Vec<Handed>, Seen> {
        Ok(by_tag(handed(&self.store.read(&self.lease, seqs).await?)))
    }

    /// What is parked, in the order given.
    pub(super) fn parked_seqs(&self) -> Vec<i64> {
        self.parked.iter().map(|p| p.seq).collect()
    }
}

fn by_tag(mut messages: Vec<Handed>) -> Vec<Handed> {
    messages.sort_by(|a, b| a.tag.cmp(&b.tag));
    messages
}

pub(super) fn handed(batch: &Batch) -> Vec<Handed> {
    let handed = |tag: &[u8], seq| Handed { seq, tag: String::from_utf8_lossy(tag).into_owned() };
    batch.iter().map(|m| handed(m.payload(), m.seq())).collect()
}

pub(super) fn tags(messages: &[Handed]) -> Vec<&str> {
    messages.iter().map(|m| m.tag.as_str()).collect()
}

pub(super) fn delivered(seqs: impl IntoIterator<Item = i64>) -> Settlement {
    Settlement { delivered: seqs.into_iter().collect::<SeqSet>(), ..Settlement::default() }
}

pub(super) fn parked(messages: impl IntoIterator<Item = ParkedMessage>) -> Settlement {
    Settlement { parked: messages.into_iter().collect(), ..Settlement::default() }
}

pub(super) fn dead(seq: i64, reason: &str) -> Settlement {
    let letter = DeadLetter { seq, reason: reason.to_owned(), attempts: 3 };
    Settlement { dead: vec![letter], ..Settlement::default() }
}

/// A parked message that failed once and is due.
pub(super) fn failed(seq: i64) -> ParkedMessage {
    let due_in = std::time::Duration::ZERO;
    ParkedMessage { seq, key: None, attempts: 1, due_in, last_error: Some("refused".into()) }
}
