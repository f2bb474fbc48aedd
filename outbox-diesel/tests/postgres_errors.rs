//! What goes wrong in a transaction on a real Postgres, and what diesel's user is told.
#![cfg(feature = "postgres")]

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::sql_types::BigInt;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use outbox_core::{Message, StoreError, StoreErrorKind};
use outbox_diesel::Postgres;

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

fn count(conn: &mut PgConnection, from: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("select count(*) n from {from}")).get_result::<Count>(conn).expect(from).n
}

#[tokio::test]
async fn a_lock_timeout_and_a_deadlock_are_conflicts() {
    let (outbox, url, mut conn) = fresh().await;
    let mut other = open(&url);
    other.batch_execute("begin; lock table outbox_message in exclusive mode").unwrap();
    conn.batch_execute("set lock_timeout = '50ms'").unwrap();
    let refused = conn.transaction::<_, anyhow::Error, _>(|conn| Ok(outbox.enqueue(conn, Message::new("t", "e"))?));
    let error = refused.expect_err("locked").downcast::<StoreError>().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error:?}");

    other.batch_execute("rollback").unwrap();

    conn.batch_execute("set lock_timeout = 0; set deadlock_timeout = '10ms'").unwrap();
    AnsiTransactionManager::begin_transaction(&mut conn).unwrap();
    conn.batch_execute("select pg_advisory_xact_lock(1)").unwrap();
    let waiting = std::thread::spawn(move || {
        let sql = "set deadlock_timeout = '60s'; begin; lock table outbox_message in exclusive mode; \
            select pg_advisory_xact_lock(1); rollback";
        other.batch_execute(sql).expect("the other one gives way");
    });
    let mut third = open(&url);
    let waits = "pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database \
        where datname = current_database())";
    testkit::eventually("it waits", SOON, || std::future::ready(count(&mut third, waits) == 1)).await;
    // Who looks last finds the deadlock.
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).expect_err("a deadlock");
    assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error:?}");
    AnsiTransactionManager::rollback_transaction(&mut conn).unwrap();
    waiting.join().unwrap();
}

#[tokio::test]
async fn a_serialization_failure_is_a_conflict() {
    let (outbox, url, mut conn) = fresh().await;
    let mut other = open(&url);
    let kind = conn.build_transaction().serializable().run::<_, anyhow::Error, _>(|conn| {
        count(conn, "outbox_message");
        other.build_transaction().serializable().run::<_, anyhow::Error, _>(|other| {
            count(other, "outbox_message");
            Ok(outbox.enqueue(other, Message::new("t", "first"))?)
        })?;
        Ok(outbox.enqueue(conn, Message::new("t", "second"))?)
    });
    let error = kind.expect_err("the other was first");
    let error = error.downcast::<StoreError>().expect("told by enqueue");
    assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error:?}");
}

#[tokio::test]
async fn a_transaction_whose_connection_broke_says_so() {
    let (outbox, url, mut conn) = fresh().await;
    let mut other = open(&url);
    let broken = conn.transaction::<(), anyhow::Error, _>(|conn| {
        outbox.enqueue(conn, Message::new("t", "e"))?;
        let kill = "pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and \
            datname = current_database()";
        other.batch_execute(&format!("select {kill}")).expect("killed");
        let error = outbox.enqueue(conn, Message::new("t", "e")).expect_err("the connection is gone");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        Err(error.into())
    });
    broken.expect_err("not committed");
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    assert!(error.to_string().contains("open another connection"), "{error}");
    assert_eq!(count(&mut other, "outbox_message"), 0);
}

#[tokio::test]
async fn an_error_that_was_dropped_is_told_by_the_next_enqueue() {
    let (outbox, _, mut conn) = fresh().await;
    let committed = conn.transaction::<_, anyhow::Error, _>(|conn| {
        outbox.enqueue(conn, Message::new("t", "e"))?;
        _ = conn.batch_execute("select 1 / 0");
        let error = outbox.enqueue(conn, Message::new("t", "e")).expect_err("aborted");
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert!(error.to_string().contains("return that error from the closure"), "{error}");
        Ok(())
    });
    // What diesel makes of it is why the error must not be dropped.
    committed.expect("diesel takes a COMMIT that was answered by ROLLBACK for success");
    assert_eq!(count(&mut conn, "outbox_message"), 0);
}

#[tokio::test]
async fn a_key_has_one_writer_at_a_time() {
    let (outbox, url, mut conn) = fresh().await;
    let mut other = open(&url);
    other.batch_execute("set lock_timeout = '50ms'").unwrap();
    let error = outbox.lock_key(&mut conn, 7).expect_err("outside a transaction");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    conn.transaction::<_, anyhow::Error, _>(|conn| {
        outbox.lock_keys(conn, [7, 8])?;
        for (key, taken) in [("7", true), ("8", true), ("9", false)] {
            let locked = other.transaction::<_, anyhow::Error, _>(|other| Ok(outbox.lock_key(other, key)?));
            assert_eq!(locked.is_err(), taken, "key {key}");
            if let Err(error) = locked {
                assert_eq!(error.downcast::<StoreError>()?.kind(), StoreErrorKind::Conflict);
            }
        }
        Ok(())
    })
    .expect("committed");
    other.transaction::<_, anyhow::Error, _>(|other| Ok(outbox.lock_key(other, 7)?)).expect("free again");
}

#[tokio::test]
async fn a_database_that_cannot_be_used_says_why() {
    let server = testkit::Postgres::shared().await;
    let outbox = Postgres::new();
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
async fn a_server_that_hangs_holds_a_bounded_number_of_threads() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let outbox = Postgres::new();
    let url = format!("postgres://u@{}/db?connect_timeout=300", silent.local_addr().unwrap());
    for _ in 0..8 {
        tokio::time::timeout(Duration::from_millis(20), outbox.status(&url)).await.expect_err("no answer");
    }
    let refused = tokio::time::timeout(SOON, outbox.clone().status(&url)).await.expect("at once").expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert!(refused.to_string().contains("8 threads wait"), "{refused}");
    drop(silent);
    testkit::eventually("the threads end with their connections", SOON, || async {
        let error = outbox.status(&url).await.expect_err("nobody listens");
        !error.to_string().contains("8 threads wait")
    })
    .await;
}

#[tokio::test]
async fn a_message_out_of_bounds_is_refused_and_the_transaction_goes_on() {
    let (outbox, _, mut conn) = fresh().await;
    conn.transaction::<_, anyhow::Error, _>(|conn| {
        for bad in [Message::new("", "e"), Message::new("t", ""), Message::new("t", "e").header("a\nb", "v")] {
            let error = outbox.enqueue(conn, bad).expect_err("refused");
            assert_eq!(error.kind(), StoreErrorKind::InvalidMessage);
        }
        outbox.enqueue(conn, Message::new("t", "e"))?;
        Ok(())
    })
    .expect("committed");
    assert_eq!(count(&mut conn, "outbox_message"), 1);
}

#[tokio::test]
async fn an_error_type_of_ones_own_tells_the_two_apart() {
    let (outbox, _, mut conn) = fresh().await;
    let mut run = |topic: &str, sql: &str| {
        conn.transaction::<_, AppError, _>(|conn| {
            outbox.enqueue(conn, Message::new(topic, "e"))?;
            conn.batch_execute(sql)?;
            Ok(())
        })
    };
    run("t", "select 1").expect("committed");
    assert!(matches!(run("", "select 1"), Err(AppError::Outbox(e)) if e.kind() == StoreErrorKind::InvalidMessage));
    assert!(matches!(run("t", "select 1 / 0"), Err(AppError::Diesel(e)) if e.to_string().contains("division by zero")));
    assert_eq!(count(&mut conn, "outbox_message"), 1);
}

#[tokio::test]
async fn outside_a_transaction_nothing_is_written() {
    let (outbox, _, mut conn) = fresh().await;
    let error = outbox.enqueue(&mut conn, Message::new("t", "e")).expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    assert!(error.to_string().contains("conn.transaction(..)"), "{error}");
    conn.batch_execute("begin").unwrap();
    let error = outbox.enqueue_all(&mut conn, [Message::new("t", "e")]).expect_err("refused");
    assert!(error.to_string().contains("hand-written BEGIN"), "{error}");
    conn.batch_execute("rollback").unwrap();
    assert_eq!(count(&mut conn, "outbox_message"), 0);
}

/// An error type of an application that tells the two apart.
#[derive(Debug)]
enum AppError {
    Outbox(StoreError),
    Diesel(diesel::result::Error),
}

impl From<StoreError> for AppError {
    fn from(e: StoreError) -> Self {
        Self::Outbox(e)
    }
}

impl From<diesel::result::Error> for AppError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Diesel(e)
    }
}
