//! The desk: dead letters, messages that wait, pauses.

mod filter;
mod orders;
mod rows;
mod statements;

use std::sync::Arc;

use async_trait::async_trait;
use outbox_core::admin::{Admin, DeadLetterFilter, DeadMessage, Paused, WaitingMessage};
use outbox_core::{MessageId, StoreError, StoreErrorKind};

use crate::like::exactly;
use crate::migrate::check;
use crate::{Connection, Dialect, Driver, Names, Value};
use filter::Where;
pub(crate) use orders::OrderBook;
use statements::Sql;

/// Messages of one transaction.
const PORTION: usize = 1_000;

/// What a change is to a relay that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It has to look anew.
    Orders,
    /// The same; and messages are put back that retention may be about to delete.
    PutsBack,
    /// Nothing, and there may be none.
    Forgets,
}

/// The desk of these tables. Opens a connection for each call.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    driver: Arc<dyn Driver>,
    sql: Arc<Sql>,
    common: Arc<crate::statements::Sql>,
}

impl Desk {
    pub(crate) fn new(driver: &Arc<dyn Driver>, names: &Names) -> Self {
        let dialect = driver.dialect();
        let common = Arc::new(crate::statements::Sql::new(dialect, names));
        Self { driver: driver.clone(), sql: Arc::new(Sql::new(dialect, names)), common }
    }

    async fn open(&self) -> Result<Box<dyn Connection>, StoreError> {
        let mut conn = self.driver.connect().await?;
        check(&mut *conn, &self.common).await?;
        conn.script(&self.sql.setup).await?;
        Ok(conn)
    }

    /// Statements that change a relay, in one transaction. Says how many messages it was, where one of them tells.
    async fn change(
        &self,
        conn: &mut dyn Connection,
        relay: &str,
        statements: &[String],
        params: &[Value],
        how: Change,
    ) -> Result<u64, StoreError> {
        conn.script(&self.common.begin).await?;
        if let Some(hold) = self.sql.hold.as_ref().filter(|_| how == Change::PutsBack) {
            conn.query(hold, &[]).await?;
        }
        // In front of everything else, so that whoever changes the same relay waits here.
        let known = !conn.query(&self.sql.known, &[relay.into()]).await?.is_empty();
        if how != Change::Forgets {
            if !known {
                conn.script("rollback").await?;
                let detail = format!("there is no relay named {relay:?}: `outbox status` lists the names");
                return Err(StoreError::new(StoreErrorKind::Config, "desk").with_detail(detail));
            }
            conn.query(&self.sql.bump, &[relay.into()]).await?;
        }
        let mut count = None;
        for statement in statements {
            let rows = conn.query(statement, params).await?;
            count = count.or(rows.first().and_then(|row| row[0].int()));
        }
        conn.script("commit").await?;
        Ok(count.map_or(0, i64::unsigned_abs))
    }

    async fn one(&self, operation: &'static str, relay: &str, sql: &str, params: &[Value]) -> Result<(), StoreError> {
        let work = async {
            let mut conn = self.open().await?;
            self.change(&mut *conn, relay, &[sql.to_owned()], params, Change::Orders).await.map(drop)
        };
        work.await.map_err(|e: StoreError| e.during(operation))
    }

    /// Does something with all dead letters that the filter names, a portion at a time. `params`: those that follow
    /// relay and numbers, from how many of the relay were before.
    async fn each(
        &self,
        filter: &DeadLetterFilter,
        statements: &[String],
        how: Change,
        params: impl Fn(u64) -> Vec<Value>,
    ) -> Result<u64, StoreError> {
        let mut conn = self.open().await?;
        let mut unknown = None;
        let (mut place, mut of_relay, mut all): (Option<(String, i64)>, u64, u64) = (None, 0, 0);
        loop {
            let mut conditions = Where::of(self.driver.dialect(), filter);
            if let Some((relay, seq)) = &place {
                conditions.behind_place(relay, *seq);
            }
            let sql = format!("{}{}", self.sql.places, conditions.end(PORTION));
            let found = conn.query(&sql, &conditions.params).await?;
            let full = found.len() == PORTION;
            let named = |row: &Vec<Value>| (row[0].text().unwrap_or_default().to_owned(), row[1].int().unwrap_or(0));
            let found: Vec<(String, i64)> = found.iter().map(named).collect();
            for group in found.chunk_by(|a, b| a.0 == b.0) {
                let relay = &group[0].0;
                if place.as_ref().is_none_or(|(before, _)| before != relay) {
                    of_relay = 0;
                }
                let mut with = vec![relay.as_str().into(), Value::Ints(group.iter().map(|(_, seq)| *seq).collect())];
                with.extend(params(of_relay));
                place = group.last().cloned();
                let done = match self.change(&mut *conn, relay, statements, &with, how).await {
                    Ok(done) => done,
                    // Those of a relay that was dropped stay, and do not stop the others.
                    Err(e) if e.kind() == StoreErrorKind::Config => {
                        unknown.get_or_insert(e);
                        continue;
                    }
                    Err(e) => return Err(e),
                };
                (of_relay, all) = (of_relay + done, all + done);
            }
            if !full {
                return unknown.filter(|_| all == 0).map_or(Ok(all), Err);
            }
        }
    }
}

#[async_trait]
impl Admin for Desk {
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&DeadMessage>,
        limit: usize,
    ) -> Result<Vec<DeadMessage>, StoreError> {
        let mut conn = self.open().await?;
        let mut conditions = Where::of(self.driver.dialect(), filter);
        if let Some(after) = after {
            conditions.behind(after);
        }
        let sql = format!("{}{}", self.sql.dead, conditions.end(limit));
        let found = conn.query(&sql, &conditions.params).await.map_err(|e| e.during("dead letters"))?;
        found.iter().map(|row| rows::dead(row)).collect()
    }

    async fn replay(&self, filter: &DeadLetterFilter, per_second: Option<u32>) -> Result<u64, StoreError> {
        let step = per_second.map_or(0, |n| 1_000_000 / i64::from(n.max(1)));
        let pace = |before: u64| vec![Value::from(i64::try_from(before).unwrap_or(0) * step), Value::from(step)];
        self.each(filter, &self.sql.replay, Change::PutsBack, pace).await.map_err(|e| e.during("replay dead letters"))
    }

    async fn discard(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        let none = |_| Vec::new();
        self.each(filter, &self.sql.discard, Change::Forgets, none).await.map_err(|e| e.during("discard dead letters"))
    }

    async fn waiting(
        &self,
        relay: &str,
        after: Option<&WaitingMessage>,
        limit: usize,
    ) -> Result<Vec<WaitingMessage>, StoreError> {
        let mut conn = self.open().await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = [relay.into(), after.map_or(i64::MIN, |a| a.seq).into(), limit.into()];
        let found = conn.query(&self.sql.waiting, &params).await.map_err(|e| e.during("waiting"))?;
        found.iter().map(|row| rows::waiting(row)).collect()
    }

    async fn retry(&self, relay: &str, key: Option<&str>) -> Result<u64, StoreError> {
        let mysql = self.driver.dialect() == Dialect::Mysql;
        let key = key.map(|key| if mysql { exactly(key) } else { key.to_owned() });
        let work = async {
            let mut conn = self.open().await?;
            let params = [relay.into(), Value::Text(key)];
            self.change(&mut *conn, relay, &self.sql.retry, &params, Change::Orders).await
        };
        work.await.map_err(|e: StoreError| e.during("retry"))
    }

    async fn give_up(&self, relay: &str, id: MessageId) -> Result<bool, StoreError> {
        let work = async {
            let mut conn = self.open().await?;
            let params = [relay.into(), id.as_uuid().simple().to_string().into()];
            self.change(&mut *conn, relay, &self.sql.give_up, &params, Change::Orders).await
        };
        work.await.map(|count| count > 0).map_err(|e: StoreError| e.during("give up"))
    }

    async fn pause(&self, relay: &str) -> Result<(), StoreError> {
        self.one("pause", relay, &self.sql.pause, &[relay.into()]).await
    }

    async fn resume(&self, relay: &str) -> Result<(), StoreError> {
        self.one("resume", relay, &self.sql.resume, &[relay.into()]).await
    }

    async fn pause_key(&self, relay: &str, key: &str) -> Result<(), StoreError> {
        self.one("pause", relay, &self.sql.pause_key, &[relay.into(), key.into()]).await
    }

    async fn resume_key(&self, relay: &str, key: &str) -> Result<(), StoreError> {
        self.one("resume", relay, &self.sql.resume_key, &[relay.into(), key.into()]).await
    }

    async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        let mut conn = self.open().await?;
        let found = conn.query(&self.sql.paused, &[]).await.map_err(|e| e.during("paused"))?;
        Ok(found.iter().map(|row| rows::paused(row)).collect())
    }
}
