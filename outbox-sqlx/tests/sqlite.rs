//! The outbox in a SQLite file.
#![cfg(feature = "sqlite")]

use std::path::PathBuf;
use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Limits, Message, Relay, RelayError, StoreErrorKind, StoreRelay};
use outbox_sqlx::Sqlite;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, SqlitePool};

const SOON: Duration = Duration::from_secs(20);

/// A file of its own, removed with the test.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("outbox-test-{}.db", uuid::Uuid::now_v7())))
    }

    async fn pool(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(&self.0).create_if_missing(true);
        SqlitePool::connect_with(options.busy_timeout(SOON)).await.expect("a file")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            _ = std::fs::remove_file(format!("{}{ending}", self.0.display()));
        }
    }
}

async fn fresh() -> (File, Sqlite, SqlitePool) {
    let file = File::new();
    let (outbox, pool) = (Sqlite::new(), file.pool().await);
    outbox.migrate(&pool).await.expect("migrated");
    (file, outbox, pool)
}

fn relay(outbox: &Sqlite, pool: &SqlitePool, to: &MemoryTransport) -> StoreRelay {
    StoreRelay::builder("test", outbox.store(pool.clone()), to.clone()).build().expect("valid settings")
}

/// The error with its causes.
fn said(error: RelayError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

async fn run(pool: &SqlitePool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

async fn text(pool: &SqlitePool, sql: &str) -> Option<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

#[tokio::test]
async fn a_message_exists_if_and_only_if_the_transaction_committed() {
    let (_file, outbox, pool) = fresh().await;
    let sent = MemoryTransport::new();
    let message = Message::new("orders", "order.created").key(7).json(&serde_json::json!({ "id": 7 })).unwrap();
    let message = message.header("trace", "ü\"1\"");
    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue(&mut tx, Message::new("orders", "order.undone").key(7)).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let id = outbox.enqueue(&mut tx, message.clone()).await.unwrap();
    let many: Vec<_> = (0..1_200).map(|i| Message::new("bulk", "n").key(i % 3).text(i.to_string())).collect();
    assert_eq!(outbox.enqueue_all(&mut tx, many).await.unwrap(), 1_200);
    outbox.commit(tx).await.unwrap();

    let relay = relay(&outbox, &pool, &sent);
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1_201);
    let sent = sent.take();
    let first = &sent[0];
    assert_eq!((first.id(), first.topic(), first.key()), (id, "orders", Some("7")));
    assert_eq!((first.event_type(), first.payload()), ("order.created", &message.payload[..]));
    assert_eq!((first.content_type(), first.headers()), (Some("application/json"), &message.headers[..]));
    for key in ["0", "1", "2"] {
        let of_key = sent[1..].iter().filter(|m| m.key() == Some(key));
        let numbers: Vec<u32> = of_key.map(|m| String::from_utf8_lossy(m.payload()).parse().unwrap()).collect();
        assert!(numbers.len() == 400 && numbers.is_sorted(), "key {key}");
    }
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 0, "nothing comes twice");
}

#[tokio::test]
async fn writers_and_a_relay_share_the_file() {
    let (_file, outbox, pool) = fresh().await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &pool, &sent);
    let writers = (0..4).map(|w| {
        let (outbox, pool) = (outbox.clone(), pool.clone());
        tokio::spawn(async move {
            for i in 0..100 {
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                outbox.enqueue(&mut tx, Message::new("t", "e").key(w).text(i.to_string())).await.unwrap();
                outbox.commit(tx).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    while writers.iter().any(|w| !w.is_finished()) {
        relay.until_drained(SOON).await.unwrap();
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    relay.until_drained(SOON).await.unwrap();
    let sent = sent.take();
    assert_eq!(sent.len(), 400);
    for key in ["0", "1", "2", "3"] {
        let of_key = sent.iter().filter(|m| m.key() == Some(key));
        assert!(of_key.map(|m| String::from_utf8_lossy(m.payload()).parse::<u32>().unwrap()).is_sorted());
    }
}

#[tokio::test]
async fn a_second_writer_is_told_to_run_again() {
    let (file, outbox, pool) = fresh().await;
    let options = SqliteConnectOptions::new().filename(&file.0).busy_timeout(Duration::ZERO);
    let hasty = SqlitePool::connect_with(options).await.unwrap();
    let first = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut second = hasty.begin().await.unwrap();
    let error = outbox.enqueue(&mut second, Message::new("t", "e")).await.expect_err("the file is busy");
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert!(error.to_string().contains("BEGIN IMMEDIATE"), "{error}");
    drop(first);
}

#[tokio::test]
async fn outside_a_transaction_nothing_is_written() {
    let (_file, outbox, pool) = fresh().await;
    let mut conn = pool.acquire().await.unwrap();
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).await.expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    assert!(error.to_string().contains("pool.begin()"), "{error}");
}

#[tokio::test]
async fn a_schema_that_does_not_fit_says_what_to_do() {
    let file = File::new();
    let (outbox, pool) = (Sqlite::new(), file.pool().await);
    let relay = relay(&outbox, &pool, &MemoryTransport::new());
    let error = said(relay.run_once().await.expect_err("no tables"));
    assert!(error.contains("missing") && error.contains("outbox migrate"), "{error}");
    let mut tx = pool.begin().await.unwrap();
    let error = outbox.enqueue(&mut tx, Message::new("t", "e")).await.expect_err("no tables");
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    drop(tx);
    let migrated = tokio::join!(outbox.migrate(&pool), outbox.migrate(&pool));
    migrated.0.and(migrated.1).expect("two at once do no harm");
    run(&pool, "insert into outbox_schema (version) values (99)").await;
    let error = said(relay.run_once().await.expect_err("newer"));
    assert!(error.contains("version 99") && error.contains("upgrade this program"), "{error}");
}

#[tokio::test]
async fn the_classic_table_is_there_word_for_word() {
    let (_file, outbox, pool) = fresh().await;
    run(&pool, "INSERT INTO outbox (event_type, payload) VALUES ('order.created', '{\"order_id\": 1}')").await;
    let published = "select published_at from outbox";
    assert_eq!(text(&pool, published).await, None);
    let sent = MemoryTransport::new();
    relay(&outbox, &pool, &sent).until_drained(SOON).await.unwrap();
    let sent = sent.take();
    assert_eq!((sent[0].topic(), sent[0].payload()), ("order.created", b"{\"order_id\": 1}".as_slice()));
    assert_eq!(sent[0].content_type(), Some("application/json"));
    assert!(text(&pool, published).await.is_some());
    let row = "select concat_ws(' ', id, payload, retry_count) from outbox where created_at <= published_at";
    assert_eq!(text(&pool, row).await, Some(format!("{} {{\"order_id\": 1}} 0", sent[0].id())));
    let refused = sqlx::query("insert into outbox (event_type, payload, retry_count) values ('e', 'p', 3)");
    assert!(refused.execute(&pool).await.expect_err("refused").to_string().contains("leave them out"));
}

#[tokio::test]
async fn a_sequence_that_went_back_is_said_and_mended() {
    let (_file, outbox, pool) = fresh().await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &pool, &sent);
    for _ in 0..5 {
        run(&pool, "insert into outbox (event_type, payload) values ('e', 'x')").await;
    }
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 5);
    run(&pool, "delete from outbox_message; delete from sqlite_sequence").await;
    run(&pool, "insert into outbox (event_type, payload) values ('e', 'after')").await;
    let error = said(relay.run_once().await.expect_err("said"));
    assert!(error.contains("outbox reset test"), "{error}");
    outbox.reset(&pool, "test").await.unwrap();
    sent.take();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    assert_eq!(sent.take()[0].payload(), b"after");
    assert!(outbox.reset(&pool, "nobody").await.is_err());
}

#[tokio::test]
async fn a_second_process_stands_by_and_takes_over() {
    let (file, outbox, pool) = fresh().await;
    let sent = MemoryTransport::new();
    let (first, second) = (relay(&outbox, &pool, &sent), relay(&outbox, &file.pool().await, &sent));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let first = first.clone();
        async move { first.run(async move { _ = stopped.await }).await }
    });
    testkit::eventually("the first has the lease", SOON, || async { first.handle().stats().active }).await;
    assert!(matches!(second.run_once().await.expect_err("stands by"), RelayError::Standby { .. }));
    stop.send(()).unwrap();
    running.await.unwrap().expect("drained");
    run(&pool, "insert into outbox (event_type, payload) values ('e', 'x')").await;
    assert_eq!(second.run_once().await.expect("at once"), 1);
    let status = outbox.status(&pool).await.unwrap();
    assert_eq!((status.len(), status[0].waiting, status[0].active), (1, 0, false));
}

#[tokio::test]
async fn a_client_without_a_crate_of_its_own_runs_the_statement_of_the_engine() {
    let (_file, outbox, pool) = fresh().await;
    let messages: Vec<Message> = (0..3)
        .map(|n| Message::new("orders", "order.created").key(n).text(format!("o'{n}")).header("trace", "\"x\""))
        .chain([Message::new("orders", "order.empty")])
        .collect();
    let (dialect, names) = (outbox_sql::Dialect::Sqlite, outbox_sql::Names::default());
    let (sql, params) = outbox_sql::insert(dialect, &names, &Limits::DEFAULT, &messages).expect("within the limits");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for param in params {
        query = match param {
            outbox_sql::Param::Text(text) => query.bind(text),
            outbox_sql::Param::Bytes(bytes) => query.bind(bytes),
        };
    }
    let mut tx = pool.begin().await.unwrap();
    query.execute(&mut *tx).await.expect("inserted");
    tx.commit().await.unwrap();

    let sent = MemoryTransport::new();
    assert_eq!(relay(&outbox, &pool, &sent).until_drained(SOON).await.unwrap(), 4);
    for (sent, m) in sent.take().iter().zip(&messages) {
        assert_eq!((sent.id(), sent.key(), sent.payload()), (m.id, m.key.as_deref(), &m.payload[..]));
        assert_eq!((sent.content_type(), sent.headers()), (m.content_type.as_deref(), &m.headers[..]));
    }
}

#[tokio::test]
async fn what_another_writer_got_wrong_stops_nothing() {
    let (_file, outbox, pool) = fresh().await;
    let odd = [
        ("payload", "7"),
        ("payload", "1.5"),
        ("payload", "cast(x'ff00' as text)"),
        ("topic", "cast(x'74ff' as text)"),
        ("topic", "x'41ff'"),
        ("key", "7"),
        ("key", "x'41ff'"),
        ("event_type", "x'41'"),
        ("content_type", "x'ff'"),
        ("headers", "jsonb('{\"a\": \"b\"}')"),
        ("created_at", "'yesterday'"),
        ("id", "'0123456789abcdef'"),
        ("id", "1234567890123456"),
    ];
    for (column, value) in odd {
        let names = ["id", "topic", "key", "event_type", "payload", "content_type", "headers", "created_at"];
        let usual = ["randomblob(16)", "'t'", "null", "'e'", "'x'", "null", "null", "1"];
        let values: Vec<&str> = names.iter().zip(usual).map(|(n, v)| if *n == column { value } else { v }).collect();
        let (names, values) = (names.join(", "), values.join(", "));
        run(&pool, &format!("insert into outbox_message ({names}) values ({values})")).await;
    }
    let sent = MemoryTransport::new();
    relay(&outbox, &pool, &sent).until_drained(SOON).await.expect("not one of them stops the relay");
    let dead = text(&pool, "select cast(count(*) as text) from outbox_dead_letter").await;
    assert_eq!((sent.take().len(), dead.as_deref()), (odd.len() - 1, Some("1")), "all but the binary headers");
}
