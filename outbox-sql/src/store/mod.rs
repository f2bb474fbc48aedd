//! The one store: what it decides stands in [`outbox_core::log`], what it says to a database in `statements`.

pub(crate) mod acquire;
mod fetch;
pub(crate) mod note;
mod progress;
mod session;
pub(crate) mod settle;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outbox_core::admin::{Admin, Orders};
use outbox_core::{
    AcquireRequest, Acquired, Batch, Crashes, FetchLimits, Lease, Note, Settlement, Store, StoreCapabilities,
    StoreError, StoreErrorKind, Wakeups, async_trait,
};
use session::Session;
use tokio::time::timeout;

use crate::desk::{Desk, OrderBook};
use crate::statements::Sql;
use crate::{Connection, Dialect, Driver, Keep, Names, Signal, retain, schedule};

/// A statement of a database that does not answer is given up after this time, or a third of the lease.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An epoch of a relay name, and when the server that told it was started.
type Era = (i64, String);

/// Messages in a SQL database, read over connections of its own.
#[derive(Debug)]
pub struct SqlStore {
    driver: Arc<dyn Driver>,
    dialect: Dialect,
    sql: Sql,
    retention: Option<Arc<retain::Sql>>,
    keep: Keep,
    mover: Arc<schedule::Mover>,
    signal: Signal,
    /// What is remembered under each lease.
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    /// Since when no valid incarnation of a relay name was seen, and in which era: epoch and start of the server.
    tokenless: Mutex<HashMap<String, (Instant, Era)>>,
    orders: OrderBook,
    /// Connections of relays that stand by.
    standby: tokio::sync::Mutex<HashMap<String, Box<dyn Connection>>>,
}

impl SqlStore {
    /// A store on these tables; `signal` wakes its relays.
    pub fn new(driver: impl Driver, names: &Names, signal: &Signal) -> Self {
        let driver: Arc<dyn Driver> = Arc::new(driver);
        Self {
            orders: OrderBook::new(Desk::new(&driver, names)),
            dialect: driver.dialect(),
            sql: Sql::new(driver.dialect(), names),
            retention: retain::Sql::new(driver.dialect(), names).ok().map(Arc::new),
            keep: Keep::default(),
            mover: schedule::Mover::new(driver.dialect(), names, signal).into(),
            driver,
            signal: signal.clone(),
            sessions: Mutex::default(),
            tokenless: Mutex::default(),
            standby: tokio::sync::Mutex::default(),
        }
    }

    /// How long messages are kept after every relay name has settled them. Default: 7 days.
    ///
    /// Deleting runs beside a relay, for as long as it holds its lease, over a connection of its own that is opened
    /// when there may be something to delete. All processes together spend at most a tenth of the time on it. What was
    /// deleted cannot be replayed.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    fn session(&self, lease: &Lease, operation: &'static str) -> Result<Arc<Session>, StoreError> {
        let found = lock(&self.sessions).get(&lease.relay).filter(|s| s.lease == *lease).cloned();
        found.ok_or_else(|| StoreError::new(StoreErrorKind::LeaseLost, operation))
    }
}

#[async_trait]
impl Store for SqlStore {
    fn capabilities(&self) -> StoreCapabilities {
        let mut log = StoreCapabilities::log();
        log.retention = true;
        log
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        // Memory must never outlive the lease it was gathered under.
        lock(&self.sessions).remove(&request.relay);
        let acquired = bounded("acquire", request.lease, self.try_acquire(request)).await;
        if acquired.is_err() {
            // The database may have crashed again: the wait for a full lease begins anew.
            lock(&self.tokenless).remove(&request.relay);
        }
        acquired
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

    fn repeats(&self, lease: &Lease) -> u64 {
        self.session(lease, "repeats").map_or(0, |session| lock(&session.log).repeats())
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

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names the operation in its error, and bounds the time that it may take.
pub(crate) async fn bounded<T>(
    operation: &'static str,
    patience: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout(patience, work).await {
        Ok(result) => result.map_err(|e| e.during(operation)),
        Err(_) => Err(StoreError::new(StoreErrorKind::Unavailable, operation)
            .with_detail(format!("no answer within {patience:?}"))),
    }
}
