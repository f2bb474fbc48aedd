//! The doorbell between handles that share nothing but the database, on a real Postgres.
#![cfg(feature = "postgres")]

use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, Store, StoreErrorKind, StoreRelay, Wakeups};
use outbox_sqlx::Postgres;
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
/// Far longer than a ring takes, far shorter than the polling of these tests.
const QUIET: Duration = Duration::from_millis(700);

async fn fresh() -> (String, PgPool) {
    let url = testkit::Postgres::shared().await.database().await;
    let pool = PgPool::connect(&url).await.expect("a database");
    Postgres::new().migrate(&pool).await.expect("migrated");
    (url, pool)
}

/// As in a process of its own.
fn handle(url: &str) -> Postgres {
    Postgres::new().doorbell(url).expect("a URL")
}

async fn write(outbox: &Postgres, pool: &PgPool) {
    let mut tx = pool.begin().await.unwrap();
    outbox.enqueue(&mut tx, Message::new("t", "e")).await.unwrap();
    outbox.commit(tx).await.unwrap();
}

/// Until it listens and nothing is signalled any more.
async fn quiet(wakeups: &mut Box<dyn Wakeups>, pool: &PgPool) {
    testkit::eventually("it listens", SOON, || async { sessions(pool, "LISTEN%").await.len() == 1 }).await;
    while timeout(QUIET, wakeups.wait()).await.is_ok() {}
}

/// Server processes of others in this database whose last statement was like this.
async fn sessions(pool: &PgPool, statement: &str) -> Vec<i32> {
    let sql = "select pid from pg_stat_activity where datname = current_database() and query ilike $1 \
        and pid <> pg_backend_pid()";
    sqlx::query_scalar(sql).bind(statement).fetch_all(pool).await.unwrap()
}

async fn terminate(pool: &PgPool, statement: &str) {
    let pids = sessions(pool, statement).await;
    assert!(!pids.is_empty(), "nobody ran {statement}");
    for pid in pids {
        sqlx::query("select pg_terminate_backend($1)").bind(pid).execute(pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_commit_is_heard_by_the_stores_of_another_handle() {
    let (url, pool) = fresh().await;
    let (writer, reader, silent) = (handle(&url), handle(&url), Postgres::new());
    let store = reader.store(pool.clone());
    let mut wakeups = store.wakeups().unwrap();
    let mut second = reader.clone().store(pool.clone()).wakeups().unwrap();
    quiet(&mut wakeups, &pool).await;
    assert_eq!(sessions(&pool, "LISTEN%").await.len(), 1, "one connection for all stores of a handle");
    for _ in 0..20 {
        write(&writer, &pool).await;
        timeout(SOON, wakeups.wait()).await.expect("heard");
        timeout(SOON, second.wait()).await.expect("heard by all");
    }
    while timeout(QUIET, wakeups.wait()).await.is_ok() {}
    // Not committed: not rung.
    let mut tx = pool.begin().await.unwrap();
    writer.enqueue(&mut tx, Message::new("t", "e")).await.unwrap();
    timeout(QUIET, wakeups.wait()).await.expect_err("nobody needs to know yet");
    tx.rollback().await.unwrap();
    write(&silent, &pool).await;
    timeout(QUIET, wakeups.wait()).await.expect_err("a handle without a doorbell is not heard");
    silent.wake();
    let other = Postgres::new().doorbell(&url).unwrap().prefix("other").unwrap();
    other.wake();
    timeout(QUIET, wakeups.wait()).await.expect_err("nor the one of another outbox");
    writer.wake();
    timeout(SOON, wakeups.wait()).await.expect("heard");
}

#[tokio::test]
async fn a_relay_that_hardly_polls_is_woken() {
    let (url, pool) = fresh().await;
    let (writer, reader) = (handle(&url), handle(&url));
    let sent = MemoryTransport::new();
    let slow = Duration::from_secs(3_600);
    let relay = StoreRelay::builder("test", reader.store(pool.clone()), sent.clone()).poll(slow, slow).build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(async move { _ = stopped.await }).await }
    });
    testkit::eventually("the relay runs", SOON, || async { relay.handle().stats().active }).await;
    for n in 1..=20 {
        write(&writer, &pool).await;
        testkit::eventually("delivered", SOON, || async { relay.handle().stats().delivered == n }).await;
    }
    // Both of its connections are cut, several times.
    for n in 21..=24 {
        terminate(&pool, "LISTEN%").await;
        terminate(&pool, "%pg_notify%").await;
        write(&writer, &pool).await;
        testkit::eventually("delivered", SOON, || async { relay.handle().stats().delivered == n }).await;
        testkit::eventually("it listens", SOON, || async { !sessions(&pool, "LISTEN%").await.is_empty() }).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(sent.take().len(), 24);
}

#[tokio::test]
async fn many_rings_become_few() {
    let (url, pool) = fresh().await;
    let (writer, reader) = (handle(&url), handle(&url));
    let mut wakeups = reader.store(pool.clone()).wakeups().unwrap();
    quiet(&mut wakeups, &pool).await;
    for _ in 0..10_000 {
        writer.wake();
    }
    let mut heard = 0;
    while timeout(QUIET, wakeups.wait()).await.is_ok() {
        heard += 1;
    }
    assert!((1..=2).contains(&heard), "{heard}");
}

#[tokio::test]
async fn nothing_is_left_when_the_last_handle_is_dropped() {
    let (url, pool) = fresh().await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    testkit::eventually("settled", SOON, || async { pool.num_idle() == pool.size() as usize }).await;
    let before = tasks();
    let (writer, reader) = (handle(&url), handle(&url));
    let store = reader.store(pool.clone());
    let mut wakeups = store.wakeups().unwrap();
    quiet(&mut wakeups, &pool).await;
    write(&writer, &pool).await;
    timeout(SOON, wakeups.wait()).await.expect("heard");
    assert!(tasks() > before);

    // The last one that waits ends the listening, also where the store lives on.
    drop(wakeups);
    testkit::eventually("nobody listens", SOON, || async { sessions(&pool, "LISTEN%").await.is_empty() }).await;
    drop((writer, reader, store));
    testkit::eventually("nobody rings", SOON, || async { sessions(&pool, "%pg_notify%").await.is_empty() }).await;
    testkit::eventually("no task", SOON, || async { tasks() <= before }).await;
}

#[tokio::test]
async fn a_doorbell_that_is_out_of_order_disturbs_nobody() {
    let (_, pool) = fresh().await;
    let port = testkit::free_port();
    let outbox = handle(&format!("postgres://postgres:test@127.0.0.1:{port}/postgres"));
    let relay = StoreRelay::builder("test", outbox.store(pool.clone()), MemoryTransport::new()).build().unwrap();
    for _ in 0..50 {
        write(&outbox, &pool).await;
    }
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 50);
    let error = Postgres::new().doorbell("mysql://user:secret@host/db").expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("postgres://") && !format!("{error:?}").contains("secret"), "{error:?}");
}
