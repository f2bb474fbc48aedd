use std::time::Duration;

use outbox_core::log::{Log, Scan};
use outbox_core::{AcquireRequest, Acquired, Lease, ParkedMessage, SeqSet, StoreError, StoreErrorKind, clock};

use super::{Arc, Memory, Session, SimStore, batch, lock};
use crate::db::{AcquireParams, Fence, ParkedRow, Standing, visible};
use crate::mutants::Mutant;
use crate::network::Link;

/// A statement that is not answered is given up after this time, or a third of the lease.
const PATIENCE: Duration = Duration::from_secs(10);

impl SimStore {
    pub(super) async fn try_acquire(
        &self,
        request: &AcquireRequest,
        before: Option<Arc<Session>>,
    ) -> Result<Acquired, StoreError> {
        let link = self.sim.connect(self.who).await?;
        let standing = self.standing(link).await?;
        let waited = self.waited(standing, request);
        let params = AcquireParams {
            owner: request.owner,
            token: self.new_token(request),
            lease: request.lease.as_millis() as u64,
            waited: waited.is_none(),
            ignore_expiry: self.sim.is(Mutant::ExpiryIgnored),
        };
        let (who, token) = (self.who, params.token);
        let got = self.sim.call(who, "acquire", Some(link), move |world| Ok(world.acquire(who, &params))).await?;
        let Some((epoch, cursor)) = got else {
            let held = Duration::from_millis(self.standing(link).await?.expires_in);
            return Ok(Acquired::Held(held.max(waited.unwrap_or_default())));
        };
        lock(&self.tokenless).take();
        let lease = Lease { relay: request.relay.clone(), epoch, token };
        let parked = self.parked(link).await?;
        let session = self.take_over(request, lease.clone(), cursor, link, before).await?;
        *lock(&self.session) = Some(Arc::new(session));
        Ok(Acquired::Yes(lease, parked))
    }

    /// Never the same twice.
    fn new_token(&self, request: &AcquireRequest) -> u128 {
        let mut count = lock(&self.tokens);
        *count += 1;
        request.owner ^ u128::from(*count) << 64
    }

    async fn standing(&self, link: Link) -> Result<Standing, StoreError> {
        let standing = |world: &mut crate::world::World| {
            let now = world.now();
            world.db.ensure(now);
            Ok(world.db.standing(now))
        };
        self.sim.call(self.who, "standing", Some(link), standing).await
    }

    /// What is left of a full lease since no valid incarnation was seen; `None` where nobody has to wait.
    fn waited(&self, standing: Standing, request: &AcquireRequest) -> Option<Duration> {
        let mut tokenless = lock(&self.tokenless);
        if standing.valid {
            *tokenless = None;
            return Some(Duration::ZERO);
        }
        if self.sim.is(Mutant::NoLeaseWait) {
            return None;
        }
        // What was seen of another start of the server says nothing of this one.
        _ = tokenless.take_if(|(_, seen)| *seen != standing.seen);
        let (since, _) = *tokenless.get_or_insert_with(|| (clock::now(), standing.seen));
        let full = Duration::from_millis(standing.lease).max(request.lease);
        let left = full.saturating_sub(clock::now().saturating_duration_since(since));
        (!left.is_zero()).then_some(left)
    }

    async fn parked(&self, link: Link) -> Result<Vec<ParkedMessage>, StoreError> {
        if self.sim.is(Mutant::ParkedForgotten) {
            return Ok(Vec::new());
        }
        let (keyless, unheld) = (self.sim.is(Mutant::ParkedKeyForgotten), self.sim.is(Mutant::HeldKeyForgotten));
        let parked = move |world: &mut crate::world::World| {
            let now = world.now();
            let held = |p: &ParkedRow| p.attempts == 0 && p.error.is_some();
            let parked = |(seq, p): (&i64, &ParkedRow)| ParkedMessage {
                seq: *seq,
                key: p.key.clone().filter(|_| !(keyless || unheld && held(p))),
                attempts: p.attempts,
                due_in: Duration::from_millis(p.due.saturating_sub(now)),
                last_error: p.error.clone(),
            };
            Ok(world.db.tables.parked.iter().map(parked).collect())
        };
        self.sim.call(self.who, "parked", Some(link), parked).await
    }

    /// Reads everything that is not settled up to the position, in one statement.
    async fn take_over(
        &self,
        request: &AcquireRequest,
        lease: Lease,
        mut cursor: outbox_core::log::Cursor,
        settling: Link,
        before: Option<Arc<Session>>,
    ) -> Result<Session, StoreError> {
        let link = self.sim.connect(self.who).await?;
        let (who, found, sim) = (self.who, cursor.clone(), self.sim.clone());
        let fence = Fence { epoch: lease.epoch, token: lease.token };
        let scan = move |world: &mut crate::world::World| {
            // After a failover this cursor would judge messages of another history.
            if world.db.owns(fence) != (true, true) {
                return Err(StoreError::new(StoreErrorKind::LeaseLost, "acquire"));
            }
            let mut found = world.db.scan(&found);
            if sim.is(Mutant::ScanParked) {
                let parked = world.db.tables.parked.keys().filter_map(|seq| world.db.tables.rows.get_key_value(seq));
                found.todo.extend(parked.map(|(seq, row)| (*seq, *row)));
                found.todo.sort_by_key(|(seq, _)| *seq);
            }
            let snapshot = world.db.snapshot().map_err(unexpected)?;
            world.note(format!(
                "{who} finds {:?}, gaps {:?}, snapshot {}",
                found.todo.iter().map(|(seq, row)| (*seq, row.message)).collect::<Vec<_>>(),
                found.gaps,
                snapshot.as_str()
            ));
            Ok((found, snapshot))
        };
        let (mut found, snapshot) = self.sim.call(who, "scan", Some(link), scan).await?;
        if self.sim.is(Mutant::SnapshotIgnored)
            && let Some(at) = cursor.snapshot.take()
        {
            found.todo.retain(|(seq, row)| visible(row.xid, &at) || cursor.unsettled.contains(*seq));
        }
        if self.sim.is(Mutant::ScanInPieces) {
            found.todo.truncate(2);
        }
        let todo: Vec<i64> = found.todo.iter().map(|(seq, _)| *seq).collect();
        let earlier = snapshot.next_xid();
        let scan = Scan { snapshot: Some(snapshot), gaps: &found.gaps, todo: &todo };
        let mut memory =
            Memory { log: Log::take_over(&cursor, &scan, clock::now()), window: SeqSet::new(), earlier, whole: true };
        let all = batch(&found.todo);
        let mut backlog: Vec<_> = (0..all.len()).rev().map(|i| all.slot(i)).collect();
        if let Some(session) = before.filter(|_| self.sim.is(Mutant::MemoryKept)) {
            std::mem::swap(&mut memory.log, &mut lock(&session.log).log);
            backlog.clear();
        }
        Ok(Session {
            lease,
            patience: PATIENCE.min(request.lease / 3).max(Duration::from_millis(100)),
            log: memory.into(),
            backlog: backlog.into(),
            fetching: link.into(),
            settling: settling.into(),
        })
    }
}

pub(super) fn unexpected(what: impl ToString) -> StoreError {
    StoreError::new(StoreErrorKind::Unexpected, "acquire").with_detail(what.to_string())
}
