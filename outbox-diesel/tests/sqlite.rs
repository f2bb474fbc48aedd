//! The outbox in a SQLite file through diesel.
#![cfg(feature = "sqlite")]

#[path = "common/file.rs"]
mod file;

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::sql_types::BigInt;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query};
use file::File;
use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, RelayError, StoreError, StoreErrorKind, StoreRelay};
use outbox_diesel::Sqlite;

const SOON: Duration = Duration::from_secs(20);

async fn fresh() -> (File, Sqlite, SqliteConnection) {
    let (file, outbox) = (File::new(), Sqlite::new());
    outbox.migrate(file.url()).await.expect("migrated");
    let conn = file.open(SOON);
    (file, outbox, conn)
}

fn relay(outbox: &Sqlite, file: &File, to: &MemoryTransport) -> StoreRelay {
    StoreRelay::builder("test", outbox.store(file.url()), to.clone()).build().expect("valid settings")
}

/// The error with its causes.
fn said(error: RelayError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn count(conn: &mut SqliteConnection, from: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("select count(*) n from {from}")).get_result::<Count>(conn).expect("counted").n
}

/// Runs one enqueue in a transaction of its own.
fn send(outbox: &Sqlite, conn: &mut SqliteConnection, message: Message) {
    conn.immediate_transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, message)?)).expect("committed");
    outbox.wake();
}

#[tokio::test]
async fn a_message_exists_if_and_only_if_the_transaction_committed() {
    let (file, outbox, mut conn) = fresh().await;
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
            let inner = conn.transaction::<(), anyhow::Error, _>(|conn| {
                outbox.enqueue(conn, Message::new("orders", "order.undone"))?;
                anyhow::bail!("only this part")
            });
            assert!(inner.is_err());
            let many: Vec<_> = (0..1_200).map(|i| Message::new("bulk", "n").key(i % 3).text(i.to_string())).collect();
            assert_eq!(outbox.enqueue_all(conn, many)?, 1_200);
            Ok(id)
        })
        .expect("committed");

    let relay = relay(&outbox, &file, &sent);
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
    let (file, outbox, _) = fresh().await;
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &file, &sent);
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let (outbox, mut conn) = (outbox.clone(), file.open(SOON));
            std::thread::spawn(move || {
                for i in 0..100 {
                    send(&outbox, &mut conn, Message::new("t", "e").key(w).text(i.to_string()));
                }
            })
        })
        .collect();
    while writers.iter().any(|w| !w.is_finished()) {
        relay.until_drained(SOON).await.unwrap();
    }
    for writer in writers {
        writer.join().expect("no panic");
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
    let (file, outbox, mut first) = fresh().await;
    let mut hasty = file.open(Duration::ZERO);
    first
        .immediate_transaction::<_, anyhow::Error, _>(|_| {
            let refused =
                hasty.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, Message::new("t", "e"))?));
            let error = refused.expect_err("the file is busy").downcast::<StoreError>()?;
            assert_eq!(error.kind(), StoreErrorKind::Conflict);
            assert!(error.to_string().contains("immediate_transaction"), "{error}");
            Ok(())
        })
        .expect("undisturbed");
}

#[tokio::test]
async fn outside_a_transaction_nothing_is_written() {
    let (_file, outbox, mut conn) = fresh().await;
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    assert!(error.to_string().contains("conn.transaction(..)"), "{error}");
    let error = outbox.lock_key(&mut conn, 7).expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    assert_eq!(count(&mut conn, "outbox_message"), 0);
}

#[tokio::test]
async fn a_message_that_the_table_refuses_is_invalid() {
    let (_file, outbox, mut conn) = fresh().await;
    let refused = conn.transaction::<_, anyhow::Error, _>(|conn| {
        for bad in [Message::new("", "e"), Message::new("t", ""), Message::new("t", "e").header("a\nb", "v")] {
            assert_eq!(outbox.enqueue(conn, bad).expect_err("refused").kind(), StoreErrorKind::InvalidMessage);
        }
        conn.batch_execute(
            "drop table outbox_message; create table outbox_message (id, topic check (topic <> 't'), \
            key, event_type, payload, content_type, headers)",
        )?;
        Ok(outbox.enqueue(conn, Message::new("t", "e"))?)
    });
    let error = refused.expect_err("by a check of the table").downcast::<StoreError>().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::InvalidMessage);
}

#[tokio::test]
async fn a_pool_of_one_connection_is_enough_beside_a_relay() {
    let (file, outbox, _) = fresh().await;
    let manager = ConnectionManager::<SqliteConnection>::new(file.url());
    let pool = Pool::builder().max_size(1).build(manager).expect("a pool");
    let sent = MemoryTransport::new();
    let relay = relay(&outbox, &file, &sent);
    for _ in 0..3 {
        let mut conn = pool.get().expect("the one connection");
        conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, Message::new("t", "e"))?))
            .expect("committed");
        assert_eq!(relay.until_drained(SOON).await.unwrap(), 1, "while the pool is empty");
    }
}

#[tokio::test]
async fn a_schema_that_does_not_fit_says_what_to_do() {
    let file = File::new();
    let (outbox, mut conn) = (Sqlite::new(), file.open(SOON));
    let relay = relay(&outbox, &file, &MemoryTransport::new());
    let error = said(relay.run_once().await.expect_err("no tables"));
    assert!(error.contains("missing") && error.contains("outbox migrate"), "{error}");
    let refused = conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, Message::new("t", "e"))?));
    let refused = refused.expect_err("no tables").downcast::<StoreError>().unwrap();
    assert_eq!(refused.kind(), StoreErrorKind::Schema);
    let migrated = tokio::join!(outbox.migrate(file.url()), outbox.migrate(file.url()));
    migrated.0.and(migrated.1).expect("two at once do no harm");
    conn.batch_execute("insert into outbox_schema (version) values (99)").unwrap();
    let error = said(relay.run_once().await.expect_err("newer"));
    assert!(error.contains("version 99") && error.contains("upgrade this program"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_says_why() {
    let (_file, outbox, _) = fresh().await;
    let error = outbox.status("/no/such/directory/a.db").await.expect_err("no file");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    let text = File::new();
    std::fs::write(text.url(), "not a database, however long this text may be: ".repeat(100)).unwrap();
    assert_eq!(outbox.status(text.url()).await.expect_err("no database").kind(), StoreErrorKind::Unexpected);
}

#[tokio::test]
async fn a_second_process_stands_by_and_takes_over() {
    let (file, outbox, mut conn) = fresh().await;
    let sent = MemoryTransport::new();
    let (first, second) = (relay(&outbox, &file, &sent), relay(&outbox, &file, &sent));
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
    let status = outbox.status(file.url()).await.unwrap();
    assert_eq!((status.len(), status[0].waiting, status[0].active), (1, 0, false));
    outbox.reset(file.url(), "test").await.unwrap();
    assert_eq!(second.until_drained(SOON).await.unwrap(), 1, "from the first one again");
}

#[test]
fn a_program_without_a_runtime_migrates_too() {
    let (file, outbox) = (File::new(), Sqlite::new());
    outbox.migrate_blocking(file.url()).expect("migrated");
    send(&outbox, &mut file.open(SOON), Message::new("t", "e"));
}
