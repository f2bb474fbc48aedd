//! The store on a database that can only say what is there: the lowest messages are read, always from the first one,
//! and deleted by their numbers when they are settled. A message belongs to one relay name.

mod acquire;
mod fetch;
mod keep;
mod note;
mod seen;
mod settle;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) use keep::changed;
pub use keep::retain_delivered;
use outbox_core::admin::{Admin, Orders};
use outbox_core::{
    AcquireRequest, Acquired, Batch, Crashes, FetchLimits, Lease, Note, Settlement, Store, StoreCapabilities,
    StoreError, StoreErrorKind, TopicFilter, Wakeups, async_trait,
};
use seen::Seen;

use crate::desk::{Desk, OrderBook};
use crate::mysql::{PARTS, QUEUE, QueueStatements};
use crate::statements::{Sql, fill};
use crate::store::{bounded, lock};
use crate::{Connection, Driver, Names, Signal, Value, schedule};

/// Messages in MySQL or MariaDB, read over connections of its own.
///
/// A relay name without topics is alone; several names need filters that do not overlap, which is checked when a lease
/// is acquired. Nothing is kept of a delivered message unless [`keep_for`](Self::keep_for) says so.
#[derive(Debug)]
pub struct QueueStore {
    driver: Arc<dyn Driver>,
    sql: Sql,
    queue: QueueStatements<String>,
    signal: Signal,
    orders: OrderBook,
    mover: Arc<schedule::Mover>,
    keep: Option<Duration>,
    /// What is remembered under each lease.
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    /// Connections of relays that stand by.
    standby: tokio::sync::Mutex<HashMap<String, Box<dyn Connection>>>,
    /// Since when a name was seen whose lease is from another server.
    elsewhere: Mutex<HashMap<String, Instant>>,
}

/// What is remembered under one lease, and the connections that work under it.
struct Session {
    lease: Lease,
    topics: TopicFilter,
    /// The condition for them; `None` where they are all.
    covered: Option<String>,
    patience: Duration,
    seen: Mutex<Seen>,
    fetching: tokio::sync::Mutex<Reader>,
    /// `None` after an error or a cancelled call: whether it was applied is not known.
    settling: tokio::sync::Mutex<Option<Box<dyn Connection>>>,
    /// When old messages were deleted last, `None` where there are more of them; and behind which number.
    pruned: Mutex<(Option<Instant>, i64)>,
    /// It ends with the session.
    _mover: schedule::Task,
}

struct Reader {
    conn: Box<dyn Connection>,
    sequence_seen: Instant,
    /// Messages and bytes of the latest batch: the room for the next one.
    latest: (usize, usize),
}

impl QueueStore {
    /// A store on these tables; `signal` wakes its relays.
    pub fn new(driver: impl Driver, names: &Names, signal: &Signal) -> Self {
        let driver: Arc<dyn Driver> = Arc::new(driver);
        let dialect = driver.dialect();
        Self {
            orders: OrderBook::new(Desk::new(&driver, names)),
            sql: Sql::new(dialect, names),
            queue: QUEUE.map(|sql| fill(sql, PARTS, dialect, names)),
            mover: schedule::Mover::new(dialect, names, signal).into(),
            driver,
            signal: signal.clone(),
            keep: None,
            sessions: Mutex::default(),
            standby: tokio::sync::Mutex::default(),
            elsewhere: Mutex::default(),
        }
    }

    /// Keeps delivered messages so long, in `outbox_delivered`; at most 100 years. Costs a copy of each. Default: none
    /// is kept.
    ///
    /// What is older is deleted behind a settlement, 1,000 at a time.
    #[must_use]
    pub fn keep_for(mut self, keep: Duration) -> Self {
        self.keep = Some(keep);
        self
    }

    fn session(&self, lease: &Lease, operation: &'static str) -> Result<Arc<Session>, StoreError> {
        let found = lock(&self.sessions).get(&lease.relay).filter(|s| s.lease == *lease).cloned();
        found.ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, operation))
    }
}

#[async_trait]
impl Store for QueueStore {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::new()
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        // Memory must never outlive the lease it was gathered under.
        lock(&self.sessions).remove(&request.relay);
        bounded("acquire", request.lease, self.try_acquire(request)).await
    }

    async fn fetch(&self, lease: &Lease, limits: FetchLimits) -> Result<Batch, StoreError> {
        let session = self.session(lease, "fetch")?;
        self.fetch_next(&session, limits.messages).await.map_err(|e| e.during("fetch"))
    }

    async fn read(&self, lease: &Lease, seqs: &[i64]) -> Result<Batch, StoreError> {
        let session = self.session(lease, "read")?;
        bounded("read", session.patience, self.read_again(&session, seqs)).await
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), StoreError> {
        let session = self.session(lease, "settle")?;
        bounded("settle", session.patience, self.write(&session, settlement)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let session = self.session(lease, "release")?;
        lock(&self.sessions).remove(&lease.relay);
        bounded("release", session.patience, self.give_up(&session)).await
    }

    fn wakeups(&self) -> Option<Box<dyn Wakeups>> {
        Some(self.signal.listen())
    }

    async fn crashes(&self, lease: &Lease) -> Result<Crashes, StoreError> {
        let session = self.session(lease, "crashes")?;
        bounded("crashes", session.patience, self.crashes_before(&session)).await
    }

    async fn note(&self, lease: &Lease, note: Note) -> Result<(), StoreError> {
        let session = self.session(lease, "note")?;
        bounded("note", session.patience, self.write_note(&session, note)).await
    }

    async fn orders(&self, relay: &str) -> Result<Orders, StoreError> {
        self.orders.of(relay).await
    }

    fn admin(&self) -> Option<Arc<dyn Admin>> {
        Some(Arc::new(self.orders.desk().clone()))
    }
}

impl Session {
    /// The first three parameters of every fenced statement.
    fn own(&self) -> Vec<Value> {
        vec![Value::from(self.lease.relay.as_str()), Value::from(self.lease.epoch), Value::Uuid(self.lease.token)]
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("lease", &self.lease).finish_non_exhaustive()
    }
}

fn unexpected(what: impl ToString) -> StoreError {
    StoreError::new(StoreErrorKind::Unexpected, "queue").with_detail(what.to_string())
}
