//! What a mover meets: its own end, a cancel that is still open, and a table of 100,000 messages.
#![cfg(all(feature = "postgres", feature = "mysql", feature = "sqlite"))]

mod later;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use later::{OnMariadb, OnMysql, OnPostgres, OnSqlite, SOON, Shop, on_all};
use outbox_core::{Message, Store, StoreError, StoreErrorKind, async_trait};
use outbox_sql::{Connection, Dialect, Driver, Rows, Value};
use testkit::eventually;

on_all!(a_mover_that_dies_before_its_commit_has_moved_nothing);

const HOUR: Duration = Duration::from_secs(3_600);

fn due(name: impl ToString, key: &str) -> Message {
    Message::new("t", name.to_string()).key(key).deliver_at(SystemTime::now() - HOUR)
}

/// A statement with its parameters.
type Asked = (String, Vec<Value>);

/// Notes what is asked, and dies before the commit of a transaction that moves something, so many times.
#[derive(Debug, Clone)]
struct Watched {
    inner: Arc<dyn Driver>,
    asked: Arc<Mutex<Vec<Asked>>>,
    deaths: Arc<Mutex<usize>>,
}

impl Watched {
    fn new(inner: Arc<dyn Driver>, deaths: usize) -> Self {
        Self { inner, asked: Arc::default(), deaths: Arc::new(deaths.into()) }
    }

    fn asked(&self, part: &str) -> Vec<(String, Vec<Value>)> {
        self.asked.lock().unwrap().iter().filter(|(sql, _)| sql.contains(part)).cloned().collect()
    }
}

#[async_trait]
impl Driver for Watched {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, StoreError> {
        Ok(Box::new(Watching { inner: self.inner.connect().await?, driver: self.clone(), moving: false }))
    }
}

#[derive(Debug)]
struct Watching {
    inner: Box<dyn Connection>,
    driver: Watched,
    moving: bool,
}

#[async_trait]
impl Connection for Watching {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        self.driver.asked.lock().unwrap().push((sql.to_owned(), params.to_vec()));
        self.moving |= sql.contains("delete") && sql.contains("outbox_scheduled");
        self.inner.query(sql, params).await
    }

    async fn messages(&mut self, sql: &str, params: &[Value], into: &mut Rows) -> Result<(), StoreError> {
        self.inner.messages(sql, params, into).await
    }

    async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        if sql == "commit" && std::mem::take(&mut self.moving) {
            let mut deaths = self.driver.deaths.lock().unwrap();
            if *deaths > 0 {
                *deaths -= 1;
                return Err(StoreError::new(StoreErrorKind::Unavailable, "test"));
            }
        }
        self.inner.script(sql).await
    }
}

async fn a_mover_that_dies_before_its_commit_has_moved_nothing<S: Shop>() {
    let shop = S::open().await;
    let driver = Watched::new(shop.driver(), 2);
    let store = shop.store_on(driver.clone());
    let lease = shop.lease(&store, "a").await;
    shop.write((0..20).map(|n| due(n, "k")).collect()).await;
    eventually("it died twice", SOON, || async { *driver.deaths.lock().unwrap() == 0 }).await;
    eventually("and then moved all", SOON, || async { shop.waiting().await.is_empty() }).await;
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(shop.moved().await, expected, "each of them once, in order");
    store.release(&lease).await.unwrap();
}

#[tokio::test]
async fn an_open_cancel_holds_its_key_and_nothing_else_on_postgres() {
    an_open_cancel_holds_its_key_and_nothing_else::<OnPostgres>().await;
}

#[tokio::test]
async fn an_open_cancel_holds_its_key_and_nothing_else_on_mysql() {
    an_open_cancel_holds_its_key_and_nothing_else::<OnMysql>().await;
}

#[tokio::test]
async fn an_open_cancel_holds_its_key_and_nothing_else_on_mariadb() {
    an_open_cancel_holds_its_key_and_nothing_else::<OnMariadb>().await;
}

async fn an_open_cancel_holds_its_key_and_nothing_else<S: Shop>() {
    let shop = S::open().await;
    let first = shop.write_one(due("a1", "a")).await;
    // More of this key than a batch holds: they must not keep the mover from what is due behind them.
    shop.write((2..800).map(|n| due(format!("a{n}"), "a")).collect()).await;
    shop.write(vec![due("b1", "b")]).await;
    let mut tx = shop.begin().await;
    assert!(shop.cancel(&mut tx, first).await.unwrap());
    let store = shop.store();
    let lease = shop.lease(&store, "m").await;
    eventually("the other key has moved", SOON, || async { shop.moved().await == ["b1"] }).await;
    shop.rollback(tx).await;
    eventually("then this one has", SOON, || async { shop.waiting().await.is_empty() }).await;
    let mut expected = vec!["b1".to_owned()];
    expected.extend((1..800).map(|n| format!("a{n}")));
    assert!(shop.moved().await == expected, "its order is kept");
    // One that commits takes its message away.
    let second = shop.write_one(due("c1", "c")).await;
    let mut tx = shop.begin().await;
    let cancelled = shop.cancel(&mut tx, second).await.unwrap();
    shop.commit(tx).await;
    assert_eq!(cancelled, !shop.moved().await.contains(&"c1".to_owned()), "cancelled or moved, never both");
    store.release(&lease).await.unwrap();
}

/// What the mover asks while 100,000 messages wait and 3 are due, each statement with `explain` in front.
async fn plans<S: Shop>(fill: &str, explain: &str) -> (S, Vec<String>) {
    let shop = S::open().await;
    shop.run(fill).await;
    assert_eq!(shop.count("outbox_scheduled").await, 100_000);
    shop.write((0..3).map(|n| due(n, "k")).collect()).await;
    let driver = Watched::new(shop.driver(), 0);
    let store = shop.store_on(driver.clone());
    let began = std::time::Instant::now();
    let lease = shop.lease(&store, "m").await;
    assert_eq!(shop.moved().await, ["0", "1", "2"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    store.release(&lease).await.unwrap();
    let asked = driver.asked("outbox_scheduled");
    assert!(asked.len() >= 4, "{asked:?}");
    let filled = |(sql, params): &(String, Vec<Value>)| {
        let limit = |sql: String| sql.replace("$1::int8", "500");
        match params.first() {
            Some(Value::Text(Some(list))) => sql.replace("$1", &format!("'{list}'")),
            _ => limit(sql.clone()).replace("limit $1", "limit 500"),
        }
    };
    (shop, asked.iter().map(|one| format!("{explain} {}", filled(one))).collect())
}

#[tokio::test]
async fn a_hundred_thousand_that_wait_are_not_looked_at_on_postgres() {
    let fill = "insert into outbox_scheduled (id, due_at, topic, event_type, payload)
        select gen_random_uuid(), now() + interval '1 day' + n * interval '1 s', 't', 'e', 'x'
        from generate_series(1, 100000) n; analyze outbox_scheduled";
    let (shop, plans) = plans::<OnPostgres>(fill, "explain").await;
    for sql in plans {
        let plan = shop.texts(&sql).await.join("\n");
        assert!(!plan.contains("Seq Scan on outbox_scheduled"), "{sql}\n{plan}");
        assert!(plan.contains("Index"), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn a_hundred_thousand_that_wait_are_not_looked_at_on_sqlite() {
    let fill = "insert into outbox_scheduled (due_at, topic, event_type, payload)
        with recursive n(n) as (select 1 union all select n + 1 from n where n < 100000)
        select (unixepoch() + 86400 + n) * 1000000, 't', 'e', x'00' from n; analyze";
    let (shop, plans) = plans::<OnSqlite>(fill, "explain query plan").await;
    for sql in plans {
        let read = sqlx::query_as::<_, (i64, i64, i64, String)>(sqlx::AssertSqlSafe(sql.clone()));
        let plan: Vec<String> = read.fetch_all(&shop.1).await.unwrap().into_iter().map(|row| row.3).collect();
        let scans = plan.iter().filter(|line| line.starts_with("SCAN outbox_scheduled")).count();
        assert!(scans == 0 && plan.iter().any(|line| line.contains("outbox_scheduled USING")), "{sql}\n{plan:?}");
    }
}

async fn on_mysql<S: Shop>(rows: impl AsyncFn(&S, String) -> Vec<(Option<String>, Option<String>, Option<i64>)>) {
    let fill = "insert into outbox_scheduled (id, due_at, topic, event_type, payload)
        select unhex(lpad(hex(a.slot * 25 + b.slot), 32, '0')),
            timestampadd(second, a.slot * 25 + b.slot + 86400, utc_timestamp(6)), 't', 'e', 'x'
        from outbox_lock a join outbox_lock b on a.slot < 4000 and b.slot < 25; analyze table outbox_scheduled";
    let (shop, plans) = plans::<S>(fill, "explain").await;
    for sql in plans {
        for (table, key, rows) in rows(&shop, sql.clone()).await {
            let name = table.unwrap_or_default();
            if name == "s" || name == "outbox_scheduled" {
                assert!(key.is_some() && rows.unwrap_or(0) < 1_000, "{sql}\n{key:?} {rows:?}");
            }
        }
    }
}

async fn explained(pool: &sqlx::MySqlPool, sql: String) -> Vec<(Option<String>, Option<String>, Option<i64>)> {
    use sqlx::Row;
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).fetch_all(pool).await;
    let text = |row: &sqlx::mysql::MySqlRow, column: &str| row.try_get_unchecked::<Option<String>, _>(column);
    let rows = rows.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let read = |row| {
        let rows = text(row, "rows").unwrap().and_then(|n| n.parse().ok());
        (text(row, "table").unwrap(), text(row, "key").unwrap(), rows)
    };
    rows.iter().map(read).collect()
}

#[tokio::test]
async fn a_hundred_thousand_that_wait_are_not_looked_at_on_mysql() {
    on_mysql::<OnMysql>(async |shop, sql| {
        explained(&shop.1, sql.replace("explain", "explain format=traditional")).await
    })
    .await;
}

#[tokio::test]
async fn a_hundred_thousand_that_wait_are_not_looked_at_on_mariadb() {
    on_mysql::<OnMariadb>(async |shop, sql| explained(&shop.1, sql).await).await;
}
