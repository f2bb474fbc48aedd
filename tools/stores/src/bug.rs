use std::str::FromStr;

use anyhow::bail;
use outbox_core::{RelayBuilder, StoreError, StoreRelay, Transport, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Names, QueueStore, Rows, Signal, SqlStore, Value};

/// A mistake that one can make in a store, planted into the statements of the shipped one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// What commits behind a higher number that was read is never looked for.
    NaiveCursor,
    /// Postgres: a missing number counts as dead from the snapshot's own xmax on.
    XmaxAsFence,
    /// MySQL: deletes from the lowest to the highest number that was settled.
    RangeDelete,
}

impl FromStr for Bug {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let all = [Self::NaiveCursor, Self::XmaxAsFence, Self::RangeDelete];
        let found = all.into_iter().find(|bug| bug.name() == name);
        found.ok_or_else(|| anyhow::anyhow!("{name:?} is no bug"))
    }
}

impl Bug {
    /// As `stores-relay` is told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NaiveCursor => "naive-cursor",
            Self::XmaxAsFence => "xmax-as-fence",
            Self::RangeDelete => "range-delete",
        }
    }

    /// A relay whose store has it.
    pub(crate) fn relay(
        self,
        name: &str,
        driver: impl Driver,
        transport: impl Transport,
    ) -> anyhow::Result<RelayBuilder> {
        let dialect = driver.dialect();
        let change = match (self, dialect) {
            (Self::NaiveCursor, Dialect::Postgres) => without_holes,
            (Self::XmaxAsFence, Dialect::Postgres) => xmax_as_fence,
            (Self::NaiveCursor, Dialect::Mysql) => highest_only,
            (Self::RangeDelete, Dialect::Mysql) => range_delete,
            _ => bail!("{self:?} cannot be planted on {dialect:?}"),
        };
        let (names, signal) = (Names::default(), Signal::default());
        let planted = Planted { driver: Box::new(driver), change };
        Ok(match dialect {
            Dialect::Mysql => StoreRelay::builder(name, QueueStore::new(planted, &names, &signal), transport),
            _ => StoreRelay::builder(name, SqlStore::new(planted, &names, &signal), transport),
        })
    }
}

fn without_holes(sql: &str) -> String {
    sql.replace("where seq = any($6::int8[]) order", "where seq = any($6::int8[]) and false order")
        .replace("where seq >= r.lo and seq <= r.hi order", "where seq >= r.lo and seq <= r.hi and false order")
}

fn xmax_as_fence(sql: &str) -> String {
    let xmax = "((pg_snapshot_xmax(pg_current_snapshot())::text::int8 - 3) % 4294967296) seq";
    sql.replace("age('3'::xid)::int8 seq", xmax)
}

/// Of the parts of a read, only the one above all that was seen finds anything.
fn highest_only(sql: &str) -> String {
    let (before, after) = (" where ", " order by seq limit ");
    let part = |part: &str| match part.rsplit_once(before) {
        Some((select, condition)) if !condition.starts_with("seq > ") && condition != "true" => {
            format!("{select}{before}false{after}")
        }
        _ => format!("{part}{after}"),
    };
    let mut parts: Vec<&str> = sql.split(after).collect();
    let last = parts.pop().unwrap_or_default();
    parts.into_iter().map(part).chain([last.to_owned()]).collect()
}

fn range_delete(sql: &str) -> String {
    let (before, after) = ("seq in (", ")");
    let delete = |statement: &str| {
        let deletes = statement.starts_with("delete ") && statement.contains("`outbox_message`");
        let listed = statement.split_once(before).filter(|_| deletes);
        let Some((start, (list, rest))) = listed.and_then(|(start, list)| Some((start, list.split_once(after)?)))
        else {
            return statement.to_owned();
        };
        let numbers: Vec<i64> = list.split(',').filter_map(|n| n.parse().ok()).collect();
        let (lo, hi) = (numbers.iter().min().unwrap_or(&0), numbers.iter().max().unwrap_or(&0));
        format!("{start}seq between {lo} and {hi}{rest}")
    };
    sql.split("; ").map(delete).collect::<Vec<_>>().join("; ")
}

#[derive(Debug)]
struct Planted {
    driver: Box<dyn Driver>,
    change: fn(&str) -> String,
}

#[async_trait]
impl Driver for Planted {
    fn dialect(&self) -> Dialect {
        self.driver.dialect()
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        Ok(Box::new(Changed { connection: self.driver.connect().await?, change: self.change }))
    }
}

/// Changes the text of what it runs.
#[derive(Debug)]
struct Changed {
    connection: Box<dyn Connection>,
    change: fn(&str) -> String,
}

#[async_trait]
impl Connection for Changed {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        self.connection.query(&(self.change)(sql), params).await
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        self.connection.messages(&(self.change)(sql), params, into).await
    }

    async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.connection.script(&(self.change)(sql)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_statements_that_are_meant_are_changed() {
        let part = |condition| format!("(select seq from `outbox_message` where {condition} order by seq limit 5)");
        let read = [part("seq < 4"), part("seq in (5) or seq between 7 and 9"), part("seq > 12")].join(" union all ");
        let changed = [part("false"), part("false"), part("seq > 12")].join(" union all ");
        assert_eq!(highest_only(&format!("select 0 where a = 1 union all {read}")), {
            format!("select 0 where a = 1 union all {changed}")
        });
        let other = "select max(seq) from `outbox_message` where a = 1";
        assert_eq!(highest_only(other), other);
        assert_eq!(
            range_delete(
                "delete from `outbox_parked` where seq in (9,4); delete from `outbox_message` where seq in (9,4)"
            ),
            "delete from `outbox_parked` where seq in (9,4); delete from `outbox_message` where seq between 4 and 9"
        );
    }
}
