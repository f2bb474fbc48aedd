//! How much of the speed of a bare scan a relay keeps on MySQL, MariaDB and SQLite. A relay of MySQL deletes what it
//! settles, so the table is filled again for every round.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::TryStreamExt;
use outbox::sqlx::{Mysql, Sqlite};
use outbox::{Relay, StoreRelay};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, MySqlPool, Row, SqlitePool, ValueRef};

use crate::drain::Nowhere;
use crate::report::{Figure, median};

const ROWS: usize = 100_000;
const PAYLOAD: usize = 256;
const ROUNDS: usize = 5;
const BATCH: usize = 1_000;
/// What is inserted in one statement.
const CHUNK: usize = 500;

pub(crate) async fn run() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, server) in
        [("MySQL", testkit::Mysql::own_mysql().await), ("MariaDB", testkit::Mysql::own_mariadb().await)]
    {
        figures.extend(mysql(name, &server.database().await).await?);
    }
    figures.extend(sqlite().await?);
    Ok(figures)
}

async fn mysql(name: &str, url: &str) -> Result<Vec<Figure>> {
    let pool = MySqlPool::connect(url).await?;
    let outbox = Mysql::new();
    outbox.migrate(&pool).await?;
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        for sql in inserts("`key`", ROWS, usual) {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await?;
        }
        let scan = mysql_scan(&pool).await?;
        let relay = StoreRelay::builder("drain", outbox.store(pool.clone()), Nowhere).batch(BATCH).build()?;
        rounds.add(round, scan, drained(&relay).await?);
        let (left,): (i64,) = sqlx::query_as("select count(*) from outbox_message").fetch_one(&pool).await?;
        ensure!(left == 0, "{left} messages are left");
    }
    Ok(rounds.figures(name, 0.10))
}

async fn sqlite() -> Result<Vec<Figure>> {
    let file = PathBuf::from(format!("target/bench/stores-{}.db", std::process::id()));
    std::fs::create_dir_all("target/bench")?;
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&file).create_if_missing(true)).await?;
    let outbox = Sqlite::new();
    outbox.migrate(&pool).await?;
    for sql in inserts("key", ROWS, usual) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await?;
    }
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        let scan = sqlite_scan(&pool).await?;
        let store = outbox.store(pool.clone());
        let relay = StoreRelay::builder(format!("drain-{round}"), store, Nowhere).batch(BATCH).build()?;
        rounds.add(round, scan, drained(&relay).await?);
    }
    pool.close().await;
    remove(&file);
    Ok(rounds.figures("SQLite", 0.4))
}

/// A file of SQLite's with what lies beside it.
pub(crate) fn remove(file: &Path) {
    for ending in ["", "-wal", "-shm"] {
        _ = std::fs::remove_file(format!("{}{ending}", file.display()));
    }
}

fn usual(i: usize) -> String {
    format!("key-{}", i % 1_000)
}

/// `column`: the name of the key's, `key`: of each row.
pub(crate) fn inserts(column: &str, rows: usize, key: impl Fn(usize) -> String) -> impl Iterator<Item = String> {
    let payload = "x".repeat(PAYLOAD);
    let insert = format!("insert into outbox_message (topic, {column}, event_type, payload, content_type) values ");
    (0..rows).step_by(CHUNK).map(move |first| {
        let rows = (first..rows.min(first + CHUNK))
            .map(|i| format!("('orders', '{}', 'order.created', '{payload}', 'text/plain')", key(i)));
        format!("{insert}{}", rows.collect::<Vec<_>>().join(", "))
    })
}

async fn drained(relay: &StoreRelay) -> Result<Duration> {
    let started = Instant::now();
    let delivered = relay.until_drained(Duration::from_secs(120)).await?;
    ensure!(delivered == ROWS as u64, "{delivered} of {ROWS} delivered");
    Ok(started.elapsed())
}

/// Every row, in one streamed statement of the text protocol, looking at every column as it came over the wire.
async fn mysql_scan(pool: &MySqlPool) -> Result<Duration> {
    let mut conn = pool.acquire().await?;
    let started = Instant::now();
    let sql = "select seq, id, topic, `key`, event_type, payload, content_type, cast(headers as char), created_at \
        from outbox_message order by seq";
    let mut rows = sqlx::raw_sql(sql).fetch(&mut *conn);
    let mut seen = Seen::default();
    while let Some(row) = rows.try_next().await? {
        for i in 0..row.len() {
            let value = row.try_get_raw(i)?;
            seen.bytes += if value.is_null() { 0 } else { row.try_get_unchecked::<&[u8], _>(i)?.len() };
        }
        seen.rows += 1;
    }
    seen.all()?;
    Ok(started.elapsed())
}

/// Every row, in batches as a relay reads them.
async fn sqlite_scan(pool: &SqlitePool) -> Result<Duration> {
    let mut conn = pool.acquire().await?;
    let started = Instant::now();
    let (mut last, mut seen) = (0i64, Seen::default());
    loop {
        let page = sqlx::query(
            "select seq, id, topic, key, event_type, payload, content_type, headers, created_at from outbox_message \
             where seq > $1 order by seq limit $2",
        );
        let mut rows = page.bind(last).bind(i64::try_from(BATCH)?).fetch(&mut *conn);
        let before = seen.rows;
        while let Some(row) = rows.try_next().await? {
            last = row.try_get(0)?;
            for i in [1, 2, 3, 4, 5, 6] {
                seen.bytes += row.try_get_unchecked::<&[u8], _>(i)?.len();
            }
            seen.rows += 1;
        }
        if seen.rows == before {
            break;
        }
    }
    seen.all()?;
    Ok(started.elapsed())
}

#[derive(Default)]
struct Seen {
    rows: usize,
    bytes: usize,
}

impl Seen {
    fn all(&self) -> Result<()> {
        ensure!(self.rows == ROWS && self.bytes > ROWS * PAYLOAD, "{} rows, {} bytes", self.rows, self.bytes);
        Ok(())
    }
}

#[derive(Default)]
struct Rounds {
    scans: Vec<f64>,
    relays: Vec<f64>,
    ratios: Vec<f64>,
}

impl Rounds {
    /// The first round warms the caches up.
    fn add(&mut self, round: usize, scan: Duration, relay: Duration) {
        if round > 0 {
            self.scans.push(ROWS as f64 / scan.as_secs_f64());
            self.relays.push(ROWS as f64 / relay.as_secs_f64());
            self.ratios.push(scan.as_secs_f64() / relay.as_secs_f64());
        }
    }

    fn figures(&mut self, name: &str, target: f64) -> Vec<Figure> {
        let figure = |what: &str, value, unit, target| Figure { name: format!("{name}: {what}"), value, unit, target };
        vec![
            figure("relay over bare scan", median(&mut self.ratios), "x", Some(target)),
            figure("bare scan", median(&mut self.scans), "rows/s", None),
            figure("relay", median(&mut self.relays), "messages/s", None),
        ]
    }
}
