//! The outbox on a real Postgres through diesel-async.
#![cfg(feature = "async-postgres")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, RelayError, StoreError, StoreErrorKind, StoreRelay};
use outbox_diesel::AsyncPostgres;
use outbox_sql::Driver;

const SOON: Duration = Duration::from_secs(20);

async fn fresh() -> (AsyncPostgres, String, AsyncPgConnection) {
    let url = testkit::Postgres::shared().await.database().await;
    let outbox = AsyncPostgres::new();
    outbox.migrate(&url).await.expect("migrated");
    let conn = open(&url).await;
    (outbox, url, conn)
}

async fn open(url: &str) -> AsyncPgConnection {
    AsyncPgConnection::establish(url).await.expect("a connection")
}

fn relay(outbox: &AsyncPostgres, url: &str, to: &MemoryTransport) -> StoreRelay {
    StoreRelay::builder("test", outbox.store(url), to.clone()).build().expect("valid settings")
}

/// The error with its causes.
fn said(error: RelayError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

async fn count(conn: &mut AsyncPgConnection, from: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("select count(*) n from {from}")).get_result::<Count>(conn).await.expect("counted").n
}

/// Runs one enqueue in a transaction of its own.
async fn send(outbox: &AsyncPostgres, conn: &mut AsyncPgConnection, message: Message) {
    let sent = conn.transaction::<_, anyhow::Error, _>(async |conn| Ok(outbox.enqueue(conn, message).await?));
    sent.await.expect("committed");
    outbox.wake();
}

#[tokio::test]
async fn a_message_exists_if_and_only_if_the_transaction_committed() {
    let (outbox, url, mut conn) = fresh().await;
    let sent = MemoryTransport::new();
    let message = Message::new("orders", "order.created").key(7).json(&serde_json::json!({ "id": 7 })).unwrap();
    let message = message.header("trace", "ü\"1\"");

    let undone = conn.transaction::<(), anyhow::Error, _>(async |conn| {
        outbox.enqueue(conn, Message::new("orders", "order.undone").key(7)).await?;
        anyhow::bail!("changed its mind")
    });
    assert_eq!(undone.await.expect_err("rolled back").to_string(), "changed its mind");
    let id = conn
        .transaction::<_, anyhow::Error, _>(async |conn| {
            let id = outbox.enqueue(conn, message.clone()).await?;
            let inner = conn.transaction::<(), anyhow::Error, _>(async |conn| {
                outbox.enqueue(conn, Message::new("orders", "order.undone")).await?;
                anyhow::bail!("only this part")
            });
            assert!(inner.await.is_err());
            let many: Vec<_> = (0..2_500).map(|i| Message::new("bulk", "n").key(i % 3).text(i.to_string())).collect();
            assert_eq!(outbox.enqueue_all(conn, many).await?, 2_500);
            Ok(id)
        })
        .await
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
async fn concurrent_writers_and_relays_lose_and_invert_nothing() {
    let (outbox, url, _) = fresh().await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &url, &sent);
    let writers: Vec<_> = (0..6)
        .map(|w| {
            let (outbox, url) = (outbox.clone(), url.clone());
            tokio::spawn(async move {
                let mut conn = open(&url).await;
                for i in 0..100 {
                    send(&outbox, &mut conn, Message::new("t", "e").key(w).text(i.to_string())).await;
                }
            })
        })
        .collect();
    while writers.iter().any(|w| !w.is_finished()) {
        relay.until_drained(SOON).await.unwrap();
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    relay.until_drained(SOON).await.unwrap();
    let sent = sent.take();
    assert_eq!(sent.len(), 600);
    for key in ["0", "1", "2", "3", "4", "5"] {
        let of_key = sent.iter().filter(|m| m.key() == Some(key));
        let numbers: Vec<u32> = of_key.map(|m| String::from_utf8_lossy(m.payload()).parse().unwrap()).collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "key {key}");
    }
}

#[tokio::test]
async fn outside_a_transaction_nothing_is_written() {
    let (outbox, _, mut conn) = fresh().await;
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).await.expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    assert!(error.to_string().contains("conn.transaction(..)"), "{error}");
    conn.batch_execute("begin").await.unwrap();
    let error = outbox.enqueue_all(&mut conn, [Message::new("t", "e")]).await.expect_err("refused");
    assert!(error.to_string().contains("hand-written BEGIN"), "{error}");
    conn.batch_execute("rollback").await.unwrap();
    assert_eq!(count(&mut conn, "outbox_message").await, 0);
}

#[tokio::test]
async fn an_error_that_was_dropped_is_told_by_the_next_enqueue() {
    let (outbox, _, mut conn) = fresh().await;
    let committed = conn.transaction::<_, anyhow::Error, _>(async |conn| {
        outbox.enqueue(conn, Message::new("t", "e")).await?;
        _ = conn.batch_execute("select 1 / 0").await;
        let error = outbox.enqueue(conn, Message::new("t", "e")).await.expect_err("aborted");
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        Ok(())
    });
    _ = committed.await;
    assert_eq!(count(&mut conn, "outbox_message").await, 0);
}

#[tokio::test]
async fn an_enqueue_that_is_given_up_leaves_nothing_behind() {
    let (outbox, url, mut conn) = fresh().await;
    let mut other = open(&url).await;
    other.batch_execute("begin; lock table outbox_message in exclusive mode").await.unwrap();
    let waits = conn.transaction::<_, anyhow::Error, _>(async |conn| {
        outbox.enqueue(conn, Message::new("t", "e")).await?;
        Ok(())
    });
    tokio::time::timeout(Duration::from_millis(100), waits).await.expect_err("it waits for the lock");
    drop(conn);
    other.batch_execute("rollback").await.unwrap();
    let writes = "pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    let other = tokio::sync::Mutex::new(other);
    testkit::eventually("the session is gone", SOON, || async { count(&mut *other.lock().await, writes).await == 0 })
        .await;
    assert_eq!(count(&mut *other.lock().await, "outbox_message").await, 0);
}

#[tokio::test]
async fn conflicts_are_told_apart() {
    let (outbox, url, mut conn) = fresh().await;
    let mut other = open(&url).await;
    let told = |error: anyhow::Error| error.downcast::<StoreError>().expect("told by enqueue").kind();
    other.batch_execute("begin; lock table outbox_message in exclusive mode").await.unwrap();
    conn.batch_execute("set lock_timeout = '50ms'").await.unwrap();
    let timeout =
        conn.transaction::<_, anyhow::Error, _>(async |conn| Ok(outbox.enqueue(conn, Message::new("t", "e")).await?));
    assert_eq!(told(timeout.await.expect_err("locked")), StoreErrorKind::Conflict);
    other.batch_execute("rollback").await.unwrap();

    let mut transaction = conn.build_transaction().serializable();
    let failed = transaction.run::<_, anyhow::Error, _>(async |conn| {
        count(conn, "outbox_message").await;
        let mut transaction = other.build_transaction().serializable();
        let first = transaction.run::<_, anyhow::Error, _>(async |other| {
            count(other, "outbox_message").await;
            Ok(outbox.enqueue(other, Message::new("t", "first")).await?)
        });
        first.await?;
        Ok(outbox.enqueue(conn, Message::new("t", "second")).await?)
    });
    assert_eq!(told(failed.await.expect_err("the other was first")), StoreErrorKind::Conflict);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_says_why() {
    let server = testkit::Postgres::shared().await;
    let outbox = AsyncPostgres::new();
    let kind = async |url: &str| outbox.status(url).await.expect_err("no status").kind();
    let closed = format!("postgres://postgres:test@127.0.0.1:{}/postgres", testkit::free_port());
    assert_eq!(kind(&closed).await, StoreErrorKind::Unavailable);
    let at = format!("127.0.0.1:{}", server.port());
    assert_eq!(kind(&format!("postgres://postgres:wrong@{at}/postgres")).await, StoreErrorKind::Unexpected);
    assert_eq!(kind(&format!("postgres://postgres:test@{at}/outbox_test_none")).await, StoreErrorKind::Unexpected);
    assert_eq!(kind("postgres://localhost/?no_such_option=1").await, StoreErrorKind::Config);
    assert_eq!(kind(server.url()).await, StoreErrorKind::Schema, "no tables there");
}

#[tokio::test]
async fn a_schema_that_does_not_fit_says_what_to_do() {
    let url = testkit::Postgres::shared().await.database().await;
    let (outbox, mut conn) = (AsyncPostgres::new(), open(&url).await);
    let relay = relay(&outbox, &url, &MemoryTransport::new());
    let error = said(relay.run_once().await.expect_err("no tables"));
    assert!(error.contains("missing") && error.contains("outbox migrate"), "{error}");
    let refused =
        conn.transaction::<_, anyhow::Error, _>(async |conn| Ok(outbox.enqueue(conn, Message::new("t", "e")).await?));
    let refused = refused.await.expect_err("no tables").downcast::<StoreError>().unwrap();
    assert_eq!(refused.kind(), StoreErrorKind::Schema);
    let migrated = tokio::join!(outbox.migrate(&url), outbox.migrate(&url));
    migrated.0.and(migrated.1).expect("two at once do no harm");
}

#[tokio::test]
async fn the_insert_is_prepared_once_on_a_connection() {
    let (outbox, _, mut conn) = fresh().await;
    for _ in 0..3 {
        send(&outbox, &mut conn, Message::new("t", "e")).await;
    }
    assert_eq!(count(&mut conn, "pg_prepared_statements where statement like 'insert into%'").await, 1);
}

#[tokio::test]
async fn a_key_has_one_writer_at_a_time() {
    let (outbox, url, mut conn) = fresh().await;
    let mut other = open(&url).await;
    other.batch_execute("set lock_timeout = '50ms'").await.unwrap();
    let error = outbox.lock_key(&mut conn, 7).await.expect_err("outside a transaction");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    let held = conn.transaction::<_, anyhow::Error, _>(async |conn| {
        outbox.lock_key(conn, 7).await?;
        let again = other.transaction::<_, anyhow::Error, _>(async |other| Ok(outbox.lock_key(other, 7).await?));
        let error = again.await.expect_err("it is taken").downcast::<StoreError>()?;
        assert_eq!(error.kind(), StoreErrorKind::Conflict);
        Ok(())
    });
    held.await.expect("committed");
}

#[tokio::test]
async fn it_works_through_a_pooler_too() {
    let server = testkit::Postgres::own().await;
    let bouncer = testkit::PgBouncer::before(&server).await;
    let direct = server.database().await;
    let url = bouncer.through(&direct);
    let outbox = AsyncPostgres::new();
    for (url, pooled) in [(&direct, false), (&url, true)] {
        let conn = format!("{:?}", outbox.driver(url).connect().await.expect("a connection"));
        assert_eq!(conn.starts_with("Pooled"), pooled, "{conn}");
    }
    outbox.migrate(&url).await.expect("migrated");
    let mut conn = open(&url).await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &url, &sent);
    for _ in 0..3 {
        send(&outbox, &mut conn, Message::new("t", "e")).await;
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    }
    // What the relay sets for itself is left on no connection of the pool.
    for setting in ["jit = 'on'", "enable_seqscan = 'on'", "synchronous_commit = 'on'"] {
        let (name, value) = setting.split_once(" = ").expect("two parts");
        let set = format!("pg_settings where name = '{name}' and setting = {value}");
        assert_eq!(count(&mut conn, &set).await, 1, "{setting}");
    }
}

#[tokio::test]
async fn connections_are_opened_as_the_application_says() {
    let (_, url, mut conn) = fresh().await;
    let opened = Arc::new(AtomicUsize::new(0));
    let outbox = AsyncPostgres::new().connect_with({
        let opened = opened.clone();
        move |url| {
            opened.fetch_add(1, Ordering::Relaxed);
            async move { AsyncPgConnection::establish(&url).await }
        }
    });
    send(&outbox, &mut conn, Message::new("t", "e")).await;
    assert_eq!(outbox.status(&url).await.unwrap().len(), 0);
    assert_eq!(AtomicUsize::load(&opened, Ordering::Relaxed), 1);
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
    send(&outbox, &mut conn, Message::new("t", "e")).await;
    assert_eq!(second.run_once().await.expect("at once"), 1);
    outbox.reset(&url, "test").await.unwrap();
    assert_eq!(second.until_drained(SOON).await.unwrap(), 1, "from the first one again");
}
