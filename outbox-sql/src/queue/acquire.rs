use std::sync::Arc;
use std::time::Duration;

use outbox_core::{AcquireRequest, Acquired, Lease, StartAt, StoreError, StoreErrorKind, TopicFilter, clock};

use super::seen::Seen;
use super::{QueueStore, Reader, Session, unexpected};
use crate::like::of_topics;
use crate::migrate::check;
use crate::store::acquire::{new_token, parked};
use crate::store::{PATIENCE, lock};
use crate::{Connection, Value, literals, schedule};

impl QueueStore {
    pub(super) async fn try_acquire(&self, request: &AcquireRequest) -> Result<Acquired, StoreError> {
        let relay = request.relay.as_str();
        let waiting = self.standby.lock().await.remove(relay);
        let mut conn = match waiting {
            Some(conn) => conn,
            None => {
                let mut conn = self.driver.connect().await?;
                conn.script(&self.sql.setup_settle).await?;
                conn
            }
        };
        // Each time: the tables may have become newer while this one stood by.
        check(&mut *conn, &self.sql).await?;
        if self.standing(&mut *conn, request).await?.is_none() {
            if request.start == StartAt::Now {
                return Err(StoreError::new(StoreErrorKind::Config, "acquire").with_detail(format!(
                    "relay {relay:?} shall start with what commits from now on, but on MySQL a message belongs to one \
                     relay, and nobody would deliver those that wait: start at the earliest, or delete them first"
                )));
            }
            conn.query(&self.sql.ensure, &[relay.into()]).await?;
        }
        let drawn = self.check_sequence(&mut *conn, relay, None).await?;
        // A look without a lock first: the holder must not wait for those that stand by.
        let standing = self.standing(&mut *conn, request).await?;
        if let Some(wait) = standing.and_then(|standing| self.wait(request, &standing)) {
            self.standby.lock().await.insert(relay.to_owned(), conn);
            return Ok(Acquired::Held(wait));
        }
        conn.script(&self.sql.begin).await?;
        let Some((lease, position)) = self.take(&mut *conn, request).await? else {
            conn.script("rollback").await?;
            let standing = self.standing(&mut *conn, request).await?;
            self.standby.lock().await.insert(relay.to_owned(), conn);
            return Ok(Acquired::Held(standing.map(|s| s.expires_in).unwrap_or_default()));
        };
        let parked = parked(&mut *conn, &self.sql, relay).await?;
        conn.script("commit").await?;
        lock(&self.elsewhere).remove(relay);
        let reader = self.reader(&lease).await?;
        let next = schedule::catch_up(&mut *conn, &self.mover).await;
        let session = Session {
            lease: lease.clone(),
            covered: of_topics(&request.topics),
            topics: request.topics.clone(),
            patience: PATIENCE.min(request.lease / 3).max(Duration::from_millis(100)),
            seen: Seen::new(position, drawn).into(),
            fetching: reader.into(),
            settling: Some(conn).into(),
            pruned: Default::default(),
            _mover: schedule::Task::start(&self.driver, &self.mover, next),
        };
        lock(&self.sessions).insert(relay.to_owned(), Arc::new(session));
        Ok(Acquired::Yes(lease, parked))
    }

    /// Within a transaction: looks at every name, and takes the one where it is free and overlaps with no other.
    async fn take(
        &self,
        conn: &mut dyn Connection,
        request: &AcquireRequest,
    ) -> Result<Option<(Lease, i64)>, StoreError> {
        let relay = request.relay.as_str();
        let names = conn.query(&self.queue.look, &[relay.into(), Value::Uuid(request.owner)]).await?;
        let mut mine = None;
        for name in &names {
            let flag = |i: usize| name[i].int() == Some(1);
            if flag(0) {
                if !flag(2) {
                    return Ok(None);
                }
                mine = name[1].int().zip(name[6].int());
            } else if flag(3) {
                disjoint(request, name[4].text().unwrap_or_default(), name[5].text().unwrap_or("[]"))?;
            }
        }
        let (epoch, position) = mine.ok_or_else(|| unexpected(format!("the row of relay {relay:?} is gone")))?;
        let token = new_token(request);
        let lease_ms = i64::try_from(request.lease.as_millis()).unwrap_or(i64::MAX / 2_000);
        let topics = serde_json::json!(request.topics.patterns()).to_string();
        let params = [relay.into(), Value::Uuid(request.owner), Value::Uuid(token), lease_ms.into(), topics.into()];
        conn.script(&literals(&self.queue.count_crash, &params[..2])).await?;
        conn.query(&self.queue.take, &params).await?;
        Ok(Some((Lease { relay: relay.to_owned(), epoch, token }, position)))
    }

    /// The numbers that writers draw must lie above what was handed out. Gives the last one.
    pub(super) async fn check_sequence(
        &self,
        conn: &mut dyn Connection,
        relay: &str,
        known: Option<i64>,
    ) -> Result<i64, StoreError> {
        let rows = conn.query(&self.sql.sequence, &[relay.into()]).await?;
        let int = |i: usize| rows.first().and_then(|row| row.get(i)).and_then(Value::int).unwrap_or(0);
        let (last, position) = (int(0), known.unwrap_or(int(1)));
        if last >= position {
            return Ok(last);
        }
        Err(StoreError::new(StoreErrorKind::SequenceWentBack, "check sequence").with_detail(format!(
            "relay {relay:?} has handed out {position}, writers are at {last} of a sequence that began anew (TRUNCATE, \
             or a restore): run `outbox reset {relay}`, then start the relay again"
        )))
    }

    /// `None` for a name that nobody ever ran.
    async fn standing(
        &self,
        conn: &mut dyn Connection,
        request: &AcquireRequest,
    ) -> Result<Option<Standing>, StoreError> {
        let params = [request.relay.as_str().into(), Value::Uuid(request.owner)];
        let rows = conn.query(&self.sql.standing, &params).await?;
        Ok(rows.first().map(|row| Standing {
            expires_in: Duration::from_millis(row[0].int().and_then(|n| u64::try_from(n).ok()).unwrap_or(0)),
            free: row[1].int() == Some(1),
            elsewhere: row[2].int() == Some(1),
            lease: Duration::from_millis(row[3].int().and_then(|n| u64::try_from(n).ok()).unwrap_or(0)),
        }))
    }

    /// How long the name is not free. After a failover the last renewals may be missing here, so a lease that is from
    /// another server holds for its full length from when it was first seen.
    fn wait(&self, request: &AcquireRequest, standing: &Standing) -> Option<Duration> {
        let mut elsewhere = lock(&self.elsewhere);
        if !standing.elsewhere {
            elsewhere.remove(&request.relay);
            return (!standing.free).then_some(standing.expires_in);
        }
        let since = *elsewhere.entry(request.relay.clone()).or_insert_with(clock::now);
        let left = standing.lease.max(request.lease).saturating_sub(clock::now().saturating_duration_since(since));
        (!left.is_zero()).then_some(left)
    }

    /// The connection that fetches. It has to lead to the server that the lease is from: another one, as a proxy that
    /// splits reads from writes would give, shows what was deleted already.
    async fn reader(&self, lease: &Lease) -> Result<Reader, StoreError> {
        let mut conn = self.driver.connect().await?;
        conn.script(&self.sql.setup_fetch).await?;
        let params = [lease.relay.as_str().into(), lease.epoch.into(), Value::Uuid(lease.token)];
        if conn.query(&self.queue.header, &params).await?.is_empty() {
            return Err(StoreError::new(StoreErrorKind::LeaseLost, "acquire").with_detail(
                "two connections do not see the same lease: where this stays, give the relay a URL that always leads to \
                 the one server that is written to",
            ));
        }
        Ok(Reader { conn, sequence_seen: clock::now(), latest: (0, 0) })
    }
}

struct Standing {
    expires_in: Duration,
    free: bool,
    /// Acquired on another server, and not released.
    elsewhere: bool,
    lease: Duration,
}

/// A message belongs to one relay name: another one that is running must not match the same topics.
fn disjoint(request: &AcquireRequest, name: &str, patterns: &str) -> Result<(), StoreError> {
    let patterns: Vec<String> = serde_json::from_str(patterns).map_err(unexpected)?;
    let other = TopicFilter::new(patterns)?;
    if !other.overlaps(&request.topics) {
        return Ok(());
    }
    let shown = |topics: &TopicFilter| match topics.patterns() {
        [] => "all topics".to_owned(),
        patterns => format!("{patterns:?}"),
    };
    Err(StoreError::new(StoreErrorKind::Config, "acquire").with_detail(format!(
        "relay {:?} covers {}, and {name:?}, which is running, {}: on MySQL a message is delivered by one relay, so give \
         them topics that do not overlap, or use outboxes of their own",
        request.relay,
        shown(&request.topics),
        shown(&other)
    )))
}
