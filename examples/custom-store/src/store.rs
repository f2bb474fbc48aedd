//! The relay's side of the file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox::{
    AcquireRequest, Acquired, Batch, BatchBuilder, FetchLimits, Lease, ParkedMessage, Settlement, StartAt, Store,
    StoreCapabilities, StoreError, StoreErrorKind, TopicFilter, Wakeups, async_trait, clock,
};
use tokio::sync::Notify;

use crate::FileStore;
use crate::book::{Entry, Parked, now};
use crate::file::Journal;

/// Who has the lease of a relay name.
#[derive(Debug)]
pub(crate) struct Holder {
    owner: u128,
    epoch: i64,
    lease: Duration,
    until: Instant,
    topics: TopicFilter,
    /// The last number that this lease was handed out, or passed.
    read: i64,
}

impl Journal {
    fn own(&mut self, lease: &Lease, operation: &'static str) -> Result<&mut Holder, StoreError> {
        let valid = |h: &&mut Holder| h.epoch == lease.epoch && h.until > clock::now();
        let own = self.holders.get_mut(&lease.relay).filter(valid);
        own.ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, operation))
    }
}

#[async_trait]
impl Store for FileStore {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::log()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let mut journal = self.journal();
        let held = journal.holders.get(&request.relay).filter(|h| h.owner != request.owner);
        if let Some(left) = held.map(|h| h.until.saturating_duration_since(clock::now())).filter(|left| !left.is_zero())
        {
            return Ok(Acquired::Held(left));
        }
        let relay = request.relay.clone();
        let after = if request.start == StartAt::Now { journal.book.messages.len() as i64 } else { 0 };
        journal.write(Entry::Acquired { relay: relay.clone(), after }, "acquire")?;
        let progress = &journal.book.relays[&relay];
        let left = |p: &Parked| Duration::from_micros(u64::try_from(p.due - now()).unwrap_or(0));
        let parked = progress.parked.iter().map(|(seq, p)| ParkedMessage {
            seq: *seq,
            key: p.key.clone(),
            attempts: p.attempts,
            due_in: left(p),
            last_error: p.error.clone(),
        });
        let (parked, epoch) = (parked.collect(), progress.epoch);
        let (owner, lease, topics) = (request.owner, request.lease, request.topics.clone());
        let holder = Holder { owner, epoch, lease, until: clock::now() + lease, topics, read: 0 };
        journal.holders.insert(relay.clone(), holder);
        Ok(Acquired::Yes(Lease { relay, epoch, token: 0 }, parked))
    }

    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let mut journal = self.journal();
        let (mut read, topics) = journal.own(lease, "fetch").map(|h| (h.read, h.topics.clone()))?;
        let (mut seqs, mut passed) = (Vec::new(), Vec::new());
        let of = &journal.book.relays[&lease.relay];
        while seqs.len() < limits.messages && read < journal.book.messages.len() as i64 {
            read += 1;
            if of.done.contains(read) || of.parked.contains_key(&read) {
                continue;
            }
            if topics.matches(journal.book.topic(read)) { seqs.push(read) } else { passed.push((read, read)) }
        }
        if !passed.is_empty() {
            journal.write(Entry::done(&lease.relay, passed), "fetch")?;
        }
        journal.own(lease, "fetch")?.read = read;
        let mut batch = BatchBuilder::new();
        journal.book.push(seqs.into_iter(), &mut batch);
        Ok(batch.finish())
    }

    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        let mut journal = self.journal();
        journal.own(lease, "read")?;
        let parked = &journal.book.relays[&lease.relay].parked;
        let mut batch = BatchBuilder::new();
        journal.book.push(seqs.iter().copied().filter(|seq| parked.contains_key(seq)), &mut batch);
        Ok(batch.finish())
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        let mut journal = self.journal();
        journal.own(lease, "settle")?;
        if !settlement.is_empty() {
            let unparked = settlement.unparked.iter().map(|seq| (*seq, *seq));
            let due = |p: &ParkedMessage| now().saturating_add(i64::try_from(p.due_in.as_micros()).unwrap_or(i64::MAX));
            let parked = settlement.parked.iter().map(|p| {
                let (key, error) = (p.key.clone(), p.last_error.clone());
                (p.seq, Parked { key, attempts: p.attempts, due: due(p), error })
            });
            let entry = Entry::Settled {
                relay: lease.relay.clone(),
                done: settlement.delivered.ranges().iter().copied().chain(unparked).collect(),
                parked: parked.collect(),
                dead: settlement.dead.iter().map(|d| (d.seq, d.reason.clone())).collect(),
            };
            journal.write(entry, "settle")?;
        }
        let holder = journal.own(lease, "settle")?;
        holder.until = clock::now() + holder.lease;
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut journal = self.journal();
        journal.own(lease, "release")?;
        journal.holders.remove(&lease.relay);
        Ok(())
    }

    fn wakeups(&self) -> Option<Box<dyn Wakeups>> {
        Some(Box::new(Committed(self.committed.clone())))
    }
}

#[derive(Debug)]
struct Committed(Arc<Notify>);

#[async_trait]
impl Wakeups for Committed {
    async fn wait(&mut self) {
        self.0.notified().await;
    }
}
