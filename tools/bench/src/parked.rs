//! What other keys keep of their rate beside a key of which one message fails and 100,000 wait behind it: over a relay
//! of which nothing is parked, on the same kind of database, round by round. At the end the message is taken, and all of
//! its key has to come, in order.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outbox::sqlx::{Mysql, Postgres, Sqlite};
use outbox::{
    Batch, KeyOrder, Outcomes, Relay, RelayHandle, Store, StoreRelay, Transport, TransportCapabilities, async_trait,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlitePool, Transaction};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::report::{Figure, median};
use crate::stores::inserts;

/// Messages of the other keys, a round.
const ROWS: usize = 100_000;
/// Behind the one that fails, too.
const BEHIND: usize = 100_000;
const ROUNDS: usize = 5;
const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(300);
const TARGET: f64 = 0.95;
const BAD: &str = "bad";

pub(crate) async fn run() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let server = testkit::Postgres::shared().await;
    let (parked, free) =
        (Site::postgres(&server.database().await).await?, Site::postgres(&server.database().await).await?);
    figures.extend(contest("Postgres", parked, free).await?);
    let server = testkit::Mysql::own_mysql().await;
    let (parked, free) = (Site::mysql(&server.database().await).await?, Site::mysql(&server.database().await).await?);
    figures.extend(contest("MySQL", parked, free).await?);
    figures.extend(contest("SQLite", Site::sqlite("parked").await?, Site::sqlite("free").await?).await?);
    Ok(figures)
}

async fn contest(name: &str, parked: Site, free: Site) -> Result<Vec<Figure>> {
    // One more, which fails; beside some that do not, so that it is no outage.
    let few = |i| if i % 100 == 0 { "good".into() } else { BAD.into() };
    parked.insert((BEHIND + 1).div_ceil(99) * 100, few).await?;
    let relay = Running::start(&parked)?;
    relay.until(|relay| relay.handle.stats().parked > BEHIND).await.context("parked")?;
    let other = Running::start(&free)?;
    let (mut ratios, mut beside, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (one, two) = (relay.rate(&parked).await?, other.rate(&free).await?);
        // The first round warms the caches up.
        if round > 0 {
            ratios.push(one / two);
            beside.push(one);
            alone.push(two);
        }
    }
    ensure!(relay.handle.stats().parked > BEHIND, "what is parked went away");
    relay.to.healed.store(true, Ordering::Relaxed);
    let healed = Instant::now();
    relay.until(|relay| relay.to.seen().bad.len() > BEHIND).await.context("healed")?;
    let drained = BEHIND as f64 / healed.elapsed().as_secs_f64();
    ensure!(relay.to.seen().bad.is_sorted(), "the key drains out of order");
    let figure = |what: &str, value, unit, target| Figure { name: format!("{name}: {what}"), value, unit, target };
    Ok(vec![
        figure("beside a parked key over without", median(&mut ratios), "x", Some(TARGET)),
        figure("beside a parked key", median(&mut beside), "messages/s", None),
        figure("without", median(&mut alone), "messages/s", None),
        figure("the key, healed", drained, "messages/s", None),
    ])
}

/// A relay at work.
struct Running {
    to: To,
    handle: RelayHandle,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(site: &Site) -> Result<Self> {
        let to = To::default();
        let second = Duration::from_secs(1);
        let relay = StoreRelay::builder("bench", site.store.clone(), to.clone()).batch(BATCH);
        let relay = relay.retry(second, second).max_attempts(1_000_000).build()?;
        let handle = relay.handle();
        let task = async move { _ = relay.run(std::future::pending()).await };
        Ok(Self { to, handle, task: tokio::spawn(task) })
    }

    async fn until(&self, done: impl Fn(&Self) -> bool) -> Result<()> {
        let looks = async {
            while !done(self) {
                _ = timeout(Duration::from_millis(5), self.to.news.notified()).await;
            }
        };
        Ok(timeout(PATIENCE, looks).await?)
    }

    /// Of the other keys: from their first message to their last.
    async fn rate(&self, site: &Site) -> Result<f64> {
        *self.to.seen() = Seen::default();
        site.insert(ROWS, |i| format!("key-{}", i % 1_000)).await?;
        self.until(|relay| relay.to.seen().others >= ROWS).await?;
        let (first, last) = self.to.seen().between.context("nothing came")?;
        Ok(ROWS as f64 / (last - first).as_secs_f64())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes everything at once, but the key that is bad.
#[derive(Debug, Clone, Default)]
struct To {
    healed: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Seen {
    others: usize,
    between: Option<(Instant, Instant)>,
    /// Numbers of the bad key's messages.
    bad: Vec<i64>,
}

impl To {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for To {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(KeyOrder::Gapless)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let healed = self.healed.load(Ordering::Relaxed);
        let mut seen = self.seen();
        for m in batch.iter() {
            if m.key() != Some(BAD) {
                seen.others += 1;
            } else if healed {
                seen.bad.push(m.seq());
            } else {
                out.unknown(m, "it is bad");
                continue;
            }
            out.delivered(m);
        }
        if seen.others > 0 {
            let now = Instant::now();
            seen.between = Some((seen.between.map_or(now, |(first, _)| first), now));
        }
        self.news.notify_one();
    }
}

/// A database with the outbox's tables.
struct Site {
    store: Arc<dyn Store>,
    pool: Pool,
}

enum Pool {
    Postgres(PgPool),
    Mysql(MySqlPool),
    Sqlite(SqlitePool),
}

impl Site {
    async fn postgres(url: &str) -> Result<Self> {
        let (pool, outbox) = (PgPool::connect(url).await?, Postgres::new());
        outbox.migrate(&pool).await?;
        Ok(Self { store: Arc::new(outbox.store(pool.clone())), pool: Pool::Postgres(pool) })
    }

    async fn mysql(url: &str) -> Result<Self> {
        let (pool, outbox) = (MySqlPool::connect(url).await?, Mysql::new());
        outbox.migrate(&pool).await?;
        Ok(Self { store: Arc::new(outbox.store(pool.clone())), pool: Pool::Mysql(pool) })
    }

    async fn sqlite(name: &str) -> Result<Self> {
        let file = PathBuf::from(format!("target/bench/{name}-{}.db", std::process::id()));
        std::fs::create_dir_all("target/bench")?;
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let (pool, outbox) = (SqlitePool::connect_with(options).await?, Sqlite::new());
        outbox.migrate(&pool).await?;
        Ok(Self { store: Arc::new(outbox.store(pool.clone())), pool: Pool::Sqlite(pool) })
    }

    /// In one transaction: a relay sees all of them at once.
    async fn insert(&self, rows: usize, key: impl Fn(usize) -> String) -> Result<()> {
        let column = if matches!(self.pool, Pool::Mysql(_)) { "`key`" } else { "key" };
        let sql = inserts(column, rows, key);
        match &self.pool {
            Pool::Postgres(pool) => fill(pool.begin().await?, sql).await,
            Pool::Mysql(pool) => fill(pool.begin().await?, sql).await,
            Pool::Sqlite(pool) => fill(pool.begin_with("begin immediate").await?, sql).await,
        }
    }
}

async fn fill<DB>(mut tx: Transaction<'_, DB>, sql: impl Iterator<Item = String>) -> Result<()>
where
    DB: sqlx::Database,
    for<'c> &'c mut DB::Connection: sqlx::Executor<'c, Database = DB>,
{
    for sql in sql {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}
