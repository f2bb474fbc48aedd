//! Replay: a new relay name over messages that others have settled.
//!
//! Nothing is new but a filter. The cursor begins right before the first message that is covered, as if all below had
//! been handed out, with the snapshot of the statement that found it: what that statement saw below its start is not
//! covered, and what commits there later is not in the snapshot, so the takeover scan finds it. The floor must lie
//! below every number that may still commit. Every other floor does, so the highest of them is taken: where the start
//! is old, nothing is left to be scanned.

mod archive;
mod drop;
mod selection;
mod statements;

use std::time::{SystemTime, UNIX_EPOCH};

use outbox_core::{StoreError, StoreErrorKind, TopicFilter};

pub use archive::restore;
pub use drop::{drop_relay, force_drop_relay};
pub(crate) use selection::Selection;
use statements::Sql;
pub(crate) use statements::{POSTGRES_COVERED, SQLITE_COVERED};

use crate::migrate::check;
use crate::{Dialect, Driver, Names, retain};

/// Messages to be delivered again, under a relay name of their own: all that are kept, or those of a time, of topics,
/// of a key. What it does not cover counts as settled for this name.
///
/// Times are compared with `created_at`, the beginning of the transaction that enqueued a message, by the database's
/// clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    pub(crate) relay: String,
    pub(crate) selection: Selection,
}

impl Replay {
    /// Everything that is kept, and what is enqueued from now on, for a relay name that is not there yet.
    pub fn new(relay: impl Into<String>) -> Self {
        Self { relay: relay.into(), selection: Selection::default() }
    }

    /// Only messages of this time or later.
    #[must_use]
    pub fn from(mut self, time: SystemTime) -> Self {
        self.selection.from = Some(micros(time));
        self
    }

    /// Only messages before this time. Where it lies in the past, the replay covers what was enqueued until it is made,
    /// and nothing later. Default: it goes on with what is enqueued from now on, until the name is dropped.
    #[must_use]
    pub fn to(mut self, time: SystemTime) -> Self {
        self.selection.to = Some(micros(time));
        self
    }

    /// Only these topics: exact names, or prefixes that end in one `*`. Default: all.
    ///
    /// # Errors
    /// `Config` for an empty pattern, or a `*` anywhere but at the end.
    pub fn topics(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, StoreError> {
        self.selection.topics = TopicFilter::new(patterns).map_err(|e| config(e.to_string()))?;
        Ok(self)
    }

    /// Only messages of this key.
    #[must_use]
    pub fn key(mut self, key: impl ToString) -> Self {
        self.selection.key = Some(key.to_string());
        self
    }

    /// The new relay name.
    pub fn relay(&self) -> &str {
        &self.relay
    }

    /// The time from which messages are covered.
    pub fn starts_at(&self) -> Option<SystemTime> {
        self.selection.from.map(selection::time)
    }

    /// The time before which messages are covered.
    pub fn ends_at(&self) -> Option<SystemTime> {
        self.selection.to.map(selection::time)
    }

    /// The topics that are covered.
    pub fn covered_topics(&self) -> &TopicFilter {
        &self.selection.topics
    }

    /// The only key that is covered.
    pub fn covered_key(&self) -> Option<&str> {
        self.selection.key.as_deref()
    }
}

pub(crate) fn micros(time: SystemTime) -> i64 {
    let most = |time: std::time::Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -most(before.duration()), most)
}

fn config(detail: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Config, "replay").with_detail(detail)
}

/// Makes a new relay name whose cursor stands right before the first message that is covered. Gives how many messages
/// are covered so far; a relay of that name delivers them.
///
/// # Errors
/// `Config` where the name is there already, where the times leave nothing, where nothing that is kept is covered and
/// nothing can come, and on a database that is no log. `Schema` where the tables are missing or of another version.
///
/// # Cancel safety
/// The name was made or not.
pub async fn replay(driver: &dyn Driver, names: &Names, replay: &Replay) -> Result<u64, StoreError> {
    let (from, to) = (replay.selection.from, replay.selection.to);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(config("no time is left between from and to: to has to be later"));
    }
    if replay.relay.is_empty() {
        return Err(config("the new relay name is empty: give it one, such as \"orders-again\""));
    }
    if driver.dialect() == Dialect::Mysql {
        return Err(config("this database keeps no log: what a relay delivered is put back with `restore`"));
    }
    let sql = Sql::new(driver.dialect(), names);
    let retention = retain::Sql::new(driver.dialect(), names)?;
    let common = crate::statements::Sql::new(driver.dialect(), names);
    let mut conn = driver.connect().await?;
    check(&mut *conn, &common).await?;
    // A crash must not undo it, nor must retention delete the first messages meanwhile.
    conn.script(&sql.setup).await?;
    conn.script(&common.begin).await?;
    retain::lock_out(&mut *conn, &retention).await?;
    let params = [replay.relay.as_str().into(), replay.selection.json().into()];
    let named = |e: StoreError| e.during("replay");
    if conn.query(&sql.create, &params).await.map_err(named)?.is_empty() {
        return Err(config(format!(
            "a relay named {:?} is there already: give the replay a name of its own, or forget that one with `outbox \
             relay drop {0}`",
            replay.relay
        )));
    }
    let rows = conn.query(&sql.covered, &params[..1]).await.map_err(named)?;
    let int = |i: usize| rows.first().and_then(|row| row.get(i)).and_then(crate::Value::int).unwrap_or(0);
    let (covered, ends) = (int(0), int(1) == 1);
    if covered == 0 && ends {
        // The transaction goes with the connection.
        return Err(config(
            "no message that is kept is covered: widen the selection; `keep_for` says how long they are",
        ));
    }
    conn.script("commit").await.map_err(named)?;
    Ok(u64::try_from(covered).unwrap_or(0))
}
