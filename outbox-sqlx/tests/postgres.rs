//! The outbox on a real Postgres.
#![cfg(feature = "postgres")]

use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Limits, Message, Relay, RelayError, StoreErrorKind, StoreRelay};
use outbox_sqlx::Postgres;
use sqlx::{AssertSqlSafe, PgPool};

const SOON: Duration = Duration::from_secs(20);

async fn fresh() -> (Postgres, PgPool) {
    let pool = PgPool::connect(&testkit::Postgres::shared().await.database().await).await.expect("a database");
    let outbox = Postgres::new();
    outbox.migrate(&pool).await.expect("migrated");
    (outbox, pool)
}

fn relay(outbox: &Postgres, pool: &PgPool, to: &MemoryTransport) -> StoreRelay {
    StoreRelay::builder("test", outbox.store(pool.clone()), to.clone()).build().expect("valid settings")
}

/// The error with its causes.
fn said(error: RelayError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

async fn text(pool: &PgPool, sql: &str) -> Option<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

#[tokio::test]
async fn a_message_exists_if_and_only_if_the_transaction_committed() {
    let (outbox, pool) = fresh().await;
    let sent = MemoryTransport::new();
    let message = Message::new("orders", "order.created").key(7).json(&serde_json::json!({ "id": 7 })).unwrap();
    let message = message.header("trace", "ü\"1\"");

    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue(&mut tx, Message::new("orders", "order.undone").key(7)).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let id = outbox.enqueue(&mut tx, message.clone()).await.unwrap();
    let many: Vec<_> = (0..2_500).map(|i| Message::new("bulk", "n").key(i % 3).text(i.to_string())).collect();
    assert_eq!(outbox.enqueue_all(&mut tx, many).await.unwrap(), 2_500);
    outbox.commit(tx).await.unwrap();

    let relay = relay(&outbox, &pool, &sent);
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 2_501);
    let sent = sent.take();
    assert_eq!(sent.len(), 2_501);
    let first = &sent[0];
    assert_eq!((first.id(), first.topic(), first.key()), (id, "orders", Some("7")));
    assert_eq!((first.event_type(), first.payload()), ("order.created", &message.payload[..]));
    assert_eq!(first.content_type(), Some("application/json"));
    assert_eq!(first.headers(), message.headers);
    for (i, m) in sent[1..].iter().enumerate() {
        assert_eq!(m.payload(), i.to_string().as_bytes(), "bulk keeps its order");
    }
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 0, "nothing comes twice");
}

#[tokio::test]
async fn a_later_number_that_commits_first_loses_nothing() {
    let (outbox, pool) = fresh().await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &pool, &sent);
    let (mut early, mut late) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    outbox.enqueue(&mut early, Message::new("t", "early")).await.unwrap();
    outbox.enqueue(&mut late, Message::new("t", "late")).await.unwrap();
    outbox.commit(late).await.unwrap();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    // Another session takes over with the hole still open.
    outbox.commit(early).await.unwrap();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    let types: Vec<_> = sent.take().iter().map(|m| m.event_type().to_owned()).collect();
    assert_eq!(types, ["late", "early"]);
}

#[tokio::test]
async fn outside_a_transaction_nothing_is_written() {
    let (outbox, pool) = fresh().await;
    let mut conn = pool.acquire().await.unwrap();
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).await.expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    assert!(error.to_string().contains("pool.begin()"), "{error}");
    sqlx::raw_sql("begin").execute(&mut *conn).await.unwrap();
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).await.expect_err("refused");
    assert!(error.to_string().contains("hand-written BEGIN"), "{error}");
    sqlx::raw_sql("rollback").execute(&mut *conn).await.unwrap();
    assert_eq!(text(&pool, "select count(*)::text from outbox_message").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_message_out_of_bounds_is_refused_and_the_transaction_goes_on() {
    let (outbox, pool) = fresh().await;
    let mut tx = pool.begin().await.unwrap();
    for bad in [Message::new("", "e"), Message::new("t", ""), Message::new("t", "e").header("a\nb", "v")] {
        let error = outbox.enqueue(&mut tx, bad).await.expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::InvalidMessage);
    }
    outbox.enqueue(&mut tx, Message::new("t", "e")).await.unwrap();
    outbox.commit(tx).await.unwrap();
    assert_eq!(text(&pool, "select count(*)::text from outbox_message").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_schema_that_does_not_fit_says_what_to_do() {
    let pool = PgPool::connect(&testkit::Postgres::shared().await.database().await).await.unwrap();
    let outbox = Postgres::new();
    let relay = relay(&outbox, &pool, &MemoryTransport::new());
    let error = said(relay.run_once().await.expect_err("no tables"));
    assert!(error.contains("missing") && error.contains("outbox migrate"), "{error}");
    let mut tx = pool.begin().await.unwrap();
    let error = outbox.enqueue(&mut tx, Message::new("t", "e")).await.expect_err("no tables");
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    drop(tx);
    outbox.migrate(&pool).await.unwrap();
    outbox.migrate(&pool).await.expect("again is nothing to do");
    run(&pool, "insert into outbox_schema (version) values (99)").await;
    let error = said(relay.run_once().await.expect_err("newer"));
    assert!(error.contains("version 99") && error.contains("upgrade this program"), "{error}");
    assert!(outbox.migrate(&pool).await.expect_err("newer").to_string().contains("upgrade this program"));
    run(&pool, "update outbox_schema set version = 0 where version = 99; delete from outbox_schema where version > 0")
        .await;
    let error = said(relay.run_once().await.expect_err("older"));
    assert!(error.contains("outbox migrate"), "{error}");
}

#[tokio::test]
async fn other_names_live_beside_the_default_ones() {
    let (outbox, pool) = fresh().await;
    let other = Postgres::new().schema("Shop").unwrap().prefix("Events").unwrap();
    let migrated = tokio::join!(other.migrate(&pool), other.migrate(&pool), other.migrate(&pool));
    migrated.0.and(migrated.1).and(migrated.2).expect("many at once do no harm");
    let mut tx = pool.begin().await.unwrap();
    other.enqueue(&mut tx, Message::new("t", "other")).await.unwrap();
    other.commit(tx).await.unwrap();
    let (one, two) = (MemoryTransport::new(), MemoryTransport::new());
    assert_eq!(relay(&outbox, &pool, &one).until_drained(SOON).await.unwrap(), 0);
    assert_eq!(relay(&other, &pool, &two).until_drained(SOON).await.unwrap(), 1);
    run(&pool, "insert into \"Shop\".\"Events\" (event_type, payload) values ('e', 'x')").await;
    assert_eq!(relay(&other, &pool, &two).until_drained(SOON).await.unwrap(), 1);
    assert!(Postgres::new().prefix("a\"b").expect_err("refused").to_string().contains("use a letter"));
}

#[tokio::test]
async fn the_classic_table_is_there_word_for_word() {
    let (outbox, pool) = fresh().await;
    run(&pool, "INSERT INTO outbox (event_type, payload) VALUES ('order.created', '{\"order_id\": 1}')").await;
    run(&pool, "select outbox_enqueue('orders', '7', 'order.paid', 'seven', '{\"source\": \"psql\"}')").await;
    let published = "select published_at::text from outbox where event_type = 'order.created'";
    assert_eq!(text(&pool, published).await, None);
    let sent = MemoryTransport::new();
    relay(&outbox, &pool, &sent).until_drained(SOON).await.unwrap();
    let sent = sent.take();
    assert_eq!((sent[0].topic(), sent[0].payload()), ("order.created", b"{\"order_id\": 1}".as_slice()));
    assert_eq!(sent[0].content_type(), Some("application/json"));
    assert_eq!((sent[1].topic(), sent[1].key(), sent[1].payload()), ("orders", Some("7"), b"seven".as_slice()));
    assert_eq!(sent[1].headers(), [("source".to_owned(), "psql".to_owned())]);
    assert!(text(&pool, published).await.is_some());
    let row = "select concat_ws(' ', id, payload, retry_count) from outbox where event_type = 'order.created'";
    assert_eq!(text(&pool, row).await, Some(format!("{} {{\"order_id\": 1}} 0", sent[0].id())));
    let refused = sqlx::query("insert into outbox (event_type, payload, retry_count) values ('e', 'p', 3)");
    assert!(refused.execute(&pool).await.expect_err("refused").to_string().contains("leave them out"));
}

#[tokio::test]
async fn a_sequence_that_went_back_is_said_and_mended() {
    let (outbox, pool) = fresh().await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &pool, &sent);
    run(&pool, "insert into outbox (event_type, payload) select 'e', 'x' from generate_series(1, 50)").await;
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 50);
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    testkit::eventually("the relay runs", SOON, || async { relay.handle().stats().active }).await;
    run(&pool, "truncate outbox_message restart identity").await;
    run(&pool, "insert into outbox (event_type, payload) values ('e', 'after')").await;
    let error = tokio::time::timeout(SOON, running).await.expect("it stops").unwrap().expect_err("said");
    let RelayError::Store { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.kind(), StoreErrorKind::SequenceWentBack);
    assert!(source.to_string().contains("outbox reset test"), "{source}");
    outbox.reset(&pool, "test").await.unwrap();
    sent.take();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    assert_eq!(sent.take()[0].payload(), b"after");
    assert!(outbox.reset(&pool, "nobody").await.expect_err("unknown").to_string().contains("outbox status"));
}

#[tokio::test]
async fn a_second_process_stands_by_and_takes_over() {
    let (outbox, pool) = fresh().await;
    let sent = MemoryTransport::new();
    let (first, second) = (relay(&outbox, &pool, &sent), relay(&outbox, &pool, &sent));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let first = first.clone();
        async move { first.run(async move { _ = stopped.await }).await }
    });
    testkit::eventually("the first has the lease", SOON, || async { first.handle().stats().active }).await;
    let error = second.run_once().await.expect_err("stands by");
    assert!(matches!(error, RelayError::Standby { .. }), "{error}");
    stop.send(()).unwrap();
    running.await.unwrap().expect("drained");
    run(&pool, "insert into outbox (event_type, payload) values ('e', 'x')").await;
    assert_eq!(second.run_once().await.expect("at once"), 1);
    let status = outbox.status(&pool).await.unwrap();
    assert_eq!((status.len(), status[0].waiting, status[0].active), (1, 0, false));
}

#[tokio::test]
async fn a_client_without_a_crate_of_its_own_runs_the_statement_of_the_engine() {
    let (outbox, pool) = fresh().await;
    let messages: Vec<Message> = (0..3)
        .map(|n| Message::new("orders", "order.created").key(n).text(format!("o'{n}")).header("trace", "\"x\""))
        .chain([Message::new("orders", "order.empty")])
        .collect();
    let (dialect, names) = (outbox_sql::Dialect::Postgres, outbox_sql::Names::default());
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

/// As a password is that was renewed.
#[tokio::test]
async fn connections_are_opened_with_the_options_that_the_pool_has_by_then() {
    let (outbox, pool) = fresh().await;
    let running = {
        let relay = relay(&outbox, &pool, &MemoryTransport::new());
        pool.set_connect_options((*pool.connect_options()).clone().application_name("renewed"));
        tokio::spawn(async move { relay.run(std::future::pending()).await })
    };
    let sql = "select count(*)::text from pg_stat_activity \
        where application_name = 'renewed' and datname = current_database()";
    let seen = async || text(&pool, sql).await.is_some_and(|n| n != "0");
    testkit::eventually("the relay's connections are seen", SOON, seen).await;
    running.abort();
}
