//! The outbox on a real Postgres through diesel and libpq.
#![cfg(feature = "postgres")]

use std::sync::Mutex;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::sql_types::BigInt;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, RelayError, StoreError, StoreErrorKind, StoreRelay};
use outbox_diesel::Postgres;
use outbox_sql::Driver;

const SOON: Duration = Duration::from_secs(20);

async fn fresh() -> (Postgres, String, PgConnection) {
    let url = testkit::Postgres::shared().await.database().await;
    let outbox = Postgres::new();
    outbox.migrate(&url).await.expect("migrated");
    let conn = open(&url);
    (outbox, url, conn)
}

fn open(url: &str) -> PgConnection {
    PgConnection::establish(url).expect("a connection")
}

fn relay(outbox: &Postgres, url: &str, to: &MemoryTransport) -> StoreRelay {
    StoreRelay::builder("test", outbox.store(url), to.clone()).build().expect("valid settings")
}

/// The error with its causes.
fn said(error: RelayError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn count(conn: &mut PgConnection, from: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("select count(*) n from {from}")).get_result::<Count>(conn).expect(from).n
}

/// Runs one enqueue in a transaction of its own.
fn send(outbox: &Postgres, conn: &mut PgConnection, message: Message) {
    conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, message)?)).expect("committed");
    outbox.wake();
}

#[tokio::test]
async fn a_message_exists_if_and_only_if_the_transaction_committed() {
    let (outbox, url, mut conn) = fresh().await;
    let sent = MemoryTransport::new();
    let message = Message::new("orders", "order.created").key(7).json(&serde_json::json!({ "id": 7 })).unwrap();
    let message = message.header("trace", "ü\"1\"");

    let undone = conn.transaction::<(), anyhow::Error, _>(|conn| {
        outbox.enqueue(conn, Message::new("orders", "order.undone").key(7))?;
        anyhow::bail!("changed its mind")
    });
    assert_eq!(undone.expect_err("rolled back").to_string(), "changed its mind");
    let id = conn
        .transaction::<_, anyhow::Error, _>(|conn| {
            let id = outbox.enqueue(conn, message.clone())?;
            let many: Vec<_> = (0..2_500).map(|i| Message::new("bulk", "n").key(i % 3).text(i.to_string())).collect();
            assert_eq!(outbox.enqueue_all(conn, many)?, 2_500);
            Ok(id)
        })
        .expect("committed");

    let relay = relay(&outbox, &url, &sent);
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 2_501);
    let sent = sent.take();
    let first = &sent[0];
    assert_eq!((first.id(), first.topic(), first.key()), (id, "orders", Some("7")));
    assert_eq!((first.event_type(), first.payload()), ("order.created", &message.payload[..]));
    assert_eq!((first.content_type(), first.headers()), (Some("application/json"), &message.headers[..]));
    for (i, m) in sent[1..].iter().enumerate() {
        assert_eq!(m.payload(), i.to_string().as_bytes(), "bulk keeps its order");
    }
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 0, "nothing comes twice");
}

#[tokio::test]
async fn a_message_of_a_savepoint_goes_with_it() {
    let (outbox, url, mut conn) = fresh().await;
    let sent = MemoryTransport::new();
    conn.transaction::<_, anyhow::Error, _>(|conn| {
        outbox.enqueue(conn, Message::new("t", "before"))?;
        let inner = conn.transaction::<(), anyhow::Error, _>(|conn| {
            outbox.enqueue(conn, Message::new("t", "undone"))?;
            anyhow::bail!("only this part")
        });
        assert!(inner.is_err());
        outbox.enqueue(conn, Message::new("t", "after"))?;
        Ok(())
    })
    .expect("committed");
    relay(&outbox, &url, &sent).until_drained(SOON).await.unwrap();
    let types: Vec<_> = sent.take().iter().map(|m| m.event_type().to_owned()).collect();
    assert_eq!(types, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_and_a_running_relay_lose_and_invert_nothing() {
    let (outbox, url, _) = fresh().await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &url, &sent);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(async move { _ = stopped.await }).await }
    });
    let writers: Vec<_> = (0..6)
        .map(|w| {
            let (outbox, url) = (outbox.clone(), url.clone());
            std::thread::spawn(move || {
                let mut conn = open(&url);
                for i in 0..100 {
                    send(&outbox, &mut conn, Message::new("t", "e").key(w).text(i.to_string()));
                }
            })
        })
        .collect();
    let all = Mutex::new(Vec::new());
    testkit::eventually("all are sent", SOON, || async {
        let mut all = all.lock().unwrap();
        all.extend(sent.take());
        all.len() >= 600
    })
    .await;
    for writer in writers {
        writer.join().expect("no panic");
    }
    stop.send(()).unwrap();
    running.await.unwrap().expect("drained");
    let mut sent_all = all.into_inner().unwrap();
    sent_all.extend(sent.take());
    let sent = sent_all;
    assert_eq!(sent.len(), 600);
    for key in ["0", "1", "2", "3", "4", "5"] {
        let of_key = sent.iter().filter(|m| m.key() == Some(key));
        let numbers: Vec<u32> = of_key.map(|m| String::from_utf8_lossy(m.payload()).parse().unwrap()).collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "key {key}");
    }
}

#[tokio::test]
async fn a_later_number_that_commits_first_loses_nothing() {
    let (outbox, url, mut late) = fresh().await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &url, &sent);
    let mut early = open(&url);
    AnsiTransactionManager::begin_transaction(&mut early).unwrap();
    outbox.enqueue(&mut early, Message::new("t", "early")).unwrap();
    send(&outbox, &mut late, Message::new("t", "late"));
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    // Another session takes over with the hole still open.
    AnsiTransactionManager::commit_transaction(&mut early).unwrap();
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    let types: Vec<_> = sent.take().iter().map(|m| m.event_type().to_owned()).collect();
    assert_eq!(types, ["late", "early"]);
}

#[tokio::test]
async fn a_schema_that_does_not_fit_says_what_to_do() {
    let url = testkit::Postgres::shared().await.database().await;
    let (outbox, mut conn) = (Postgres::new(), open(&url));
    let relay = relay(&outbox, &url, &MemoryTransport::new());
    let error = said(relay.run_once().await.expect_err("no tables"));
    assert!(error.contains("missing") && error.contains("outbox migrate"), "{error}");
    let refused = conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, Message::new("t", "e"))?));
    let refused = refused.expect_err("no tables").downcast::<StoreError>().unwrap();
    assert_eq!(refused.kind(), StoreErrorKind::Schema);
    outbox.migrate(&url).await.unwrap();
    outbox.migrate(&url).await.expect("again is nothing to do");
    conn.batch_execute("insert into outbox_schema (version) values (99)").unwrap();
    let error = said(relay.run_once().await.expect_err("newer"));
    assert!(error.contains("version 99") && error.contains("upgrade this program"), "{error}");
}

#[tokio::test]
async fn other_names_live_beside_the_default_ones() {
    let (outbox, url, mut conn) = fresh().await;
    let other = Postgres::new().schema("Shop").unwrap().prefix("Events").unwrap();
    let migrated = tokio::join!(other.migrate(&url), other.migrate(&url), other.migrate(&url));
    migrated.0.and(migrated.1).and(migrated.2).expect("many at once do no harm");
    send(&other, &mut conn, Message::new("t", "other"));
    let (one, two) = (MemoryTransport::new(), MemoryTransport::new());
    assert_eq!(relay(&outbox, &url, &one).until_drained(SOON).await.unwrap(), 0);
    assert_eq!(relay(&other, &url, &two).until_drained(SOON).await.unwrap(), 1);
}

#[tokio::test]
async fn a_pool_of_one_connection_is_enough_beside_a_relay() {
    let (outbox, url, _) = fresh().await;
    let pool = Pool::builder().max_size(1).build(ConnectionManager::<PgConnection>::new(&url)).expect("a pool");
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &url, &sent);
    for i in 0..3 {
        let mut conn = pool.get().expect("the one connection");
        conn.transaction::<_, anyhow::Error, _>(|conn| {
            outbox.enqueue(conn, Message::new("t", "e").text(i.to_string()))?;
            Ok(())
        })
        .expect("committed");
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 1, "while the pool is empty");
    }
    assert_eq!(sent.take().len(), 3);
}

#[tokio::test]
async fn a_second_process_stands_by_and_takes_over() {
    let (outbox, url, mut conn) = fresh().await;
    let sent = MemoryTransport::new();
    let (first, second) = (relay(&outbox, &url, &sent), relay(&outbox, &url, &sent));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let first = first.clone();
        async move { first.run(async move { _ = stopped.await }).await }
    });
    testkit::eventually("the first has the lease", SOON, || async { first.handle().stats().active }).await;
    assert!(matches!(second.run_once().await.expect_err("stands by"), RelayError::Standby { .. }));
    stop.send(()).unwrap();
    running.await.unwrap().expect("drained");
    send(&outbox, &mut conn, Message::new("t", "e"));
    assert_eq!(second.run_once().await.expect("at once"), 1);
    let status = outbox.status(&url).await.unwrap();
    assert_eq!((status.len(), status[0].waiting, status[0].active), (1, 0, false));
    outbox.reset(&url, "test").await.unwrap();
    assert_eq!(second.until_drained(SOON).await.unwrap(), 1, "from the first one again");
    assert!(outbox.reset(&url, "nobody").await.expect_err("unknown").to_string().contains("outbox status"));
}

#[tokio::test]
async fn large_messages_come_in_batches_that_end() {
    let (outbox, url, mut conn) = fresh().await;
    let sent = MemoryTransport::new();
    let large = "x".repeat(1 << 20);
    conn.transaction::<_, anyhow::Error, _>(|conn| {
        outbox.enqueue_all(conn, (0..40).map(|i| Message::new("t", "e").key(i).text(&large)))?;
        Ok(())
    })
    .expect("committed");
    assert_eq!(relay(&outbox, &url, &sent).until_drained(SOON).await.unwrap(), 40);
    assert!(sent.take().iter().all(|m| m.payload().len() == 1 << 20));
}

#[tokio::test]
async fn the_insert_is_prepared_once_on_a_connection() {
    let (outbox, _, mut conn) = fresh().await;
    for _ in 0..3 {
        send(&outbox, &mut conn, Message::new("t", "e"));
    }
    assert_eq!(count(&mut conn, "pg_prepared_statements where statement like 'insert into%'"), 1);
}

#[tokio::test]
async fn it_works_through_a_pooler_too() {
    let server = testkit::Postgres::own().await;
    let bouncer = testkit::PgBouncer::before(&server).await;
    let direct = server.database().await;
    let url = bouncer.through(&direct);
    let outbox = Postgres::new();
    for (url, pooled) in [(&direct, false), (&url, true)] {
        let conn = format!("{:?}", outbox.driver(url).connect().await.expect("a connection"));
        assert_eq!(conn.starts_with("Pooled"), pooled, "{conn}");
    }
    outbox.migrate(&url).await.expect("migrated");
    let mut conn = open(&url);
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &url, &sent);
    for _ in 0..3 {
        send(&outbox, &mut conn, Message::new("t", "e"));
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    }
    // What the relay sets for itself is left on no connection of the pool.
    for setting in ["jit = 'on'", "enable_seqscan = 'on'", "synchronous_commit = 'on'"] {
        let (name, value) = setting.split_once(" = ").expect("two parts");
        let set = format!("pg_settings where name = '{name}' and setting = {value}");
        assert_eq!(count(&mut conn, &set), 1, "{setting}");
    }
}

#[test]
fn a_program_without_a_runtime_migrates_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = runtime.block_on(async { testkit::Postgres::shared().await.database().await });
    let outbox = Postgres::new();
    outbox.migrate_blocking(&url).expect("migrated");
    assert_eq!(count(&mut open(&url), "outbox_message"), 0);
    let inside = runtime.block_on(async { outbox.migrate_blocking(&url) }).expect_err("it would block the runtime");
    assert_eq!(inside.kind(), StoreErrorKind::Config);
}
