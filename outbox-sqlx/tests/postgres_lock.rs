//! Order per key by `lock_key` alone, on a real Postgres.
#![cfg(feature = "postgres")]

use std::collections::HashMap;
use std::time::Duration;

use outbox_core::memory::{MemoryTransport, SentMessage};
use outbox_core::{Message, Relay, StoreErrorKind, StoreRelay};
use outbox_sqlx::Postgres;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);
const WRITERS: usize = 12;
const EACH: usize = 60;
const KEYS: usize = 3;

async fn fresh() -> (Postgres, PgPool) {
    let url = testkit::Postgres::shared().await.database().await;
    let pool = PgPoolOptions::new().max_connections(20).connect(&url).await.expect("a database");
    let outbox = Postgres::new();
    outbox.migrate(&pool).await.expect("migrated");
    (outbox, pool)
}

/// Every message says how many of its key were committed when its writer began to write it.
async fn write(outbox: Postgres, pool: PgPool, writer: usize, lock: bool) {
    for n in 0..EACH {
        let key = format!("k{}", (writer + n) % KEYS);
        let mut tx = pool.begin().await.unwrap();
        if lock {
            outbox.lock_key(&mut tx, &key).await.unwrap();
        }
        let before: i64 = sqlx::query_scalar("select count(*) from outbox_message where key = $1")
            .bind(&key)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        outbox.enqueue(&mut tx, Message::new("t", "e").key(&key).text(before.to_string())).await.unwrap();
        // The rest of the business: numbers are drawn before the commit, some long before.
        sqlx::query("select pg_sleep(random() * 0.004)").execute(&mut *tx).await.unwrap();
        outbox.commit(tx).await.unwrap();
    }
}

/// Key, number and payload.
type Delivered = (String, i64, String);

/// What a relay delivered that read all the while.
async fn delivered(lock: bool) -> Vec<Delivered> {
    let (outbox, pool) = fresh().await;
    let sent = MemoryTransport::new();
    let relay = StoreRelay::builder("test", outbox.store(pool.clone()), sent.clone()).build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(async move { _ = stopped.await }).await }
    });
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(outbox.clone(), pool.clone(), writer, lock))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    relay.until_drained(SOON).await.unwrap();
    let rows: Vec<(Uuid, i64)> = sqlx::query_as("select id, seq from outbox_message").fetch_all(&pool).await.unwrap();
    let numbers: HashMap<Uuid, i64> = rows.into_iter().collect();
    let delivered = |m: &SentMessage| {
        let payload = String::from_utf8_lossy(m.payload()).into_owned();
        (m.key().unwrap().to_owned(), numbers[&m.id().as_uuid()], payload)
    };
    let sent: Vec<_> = sent.take().iter().map(delivered).collect();
    assert_eq!(sent.len(), WRITERS * EACH);
    sent
}

/// Messages that do not come right behind those that were committed before them.
fn out_of_order(sent: &[Delivered]) -> usize {
    let mut seen = HashMap::new();
    let mut wrong = 0;
    for (key, _, before) in sent {
        let seen = seen.entry(key).or_insert(0);
        wrong += usize::from(*before != seen.to_string());
        *seen += 1;
    }
    wrong
}

/// Messages that come behind one of their key with a higher number.
fn inverted(sent: &[Delivered]) -> usize {
    let mut highest = HashMap::new();
    let mut inverted = 0;
    for (key, seq, _) in sent {
        let highest = highest.entry(key).or_insert(0);
        inverted += usize::from(seq < highest);
        *highest = *seq.max(highest);
    }
    inverted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_only_lock_the_key_keep_its_order() {
    let sent = delivered(true).await;
    assert_eq!((out_of_order(&sent), inverted(&sent)), (0, 0));
}

/// The same writers, without the lock: so the test above can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_lock_nothing_do_not() {
    let sent = delivered(false).await;
    let (out_of_order, inverted) = (out_of_order(&sent), inverted(&sent));
    println!("without the lock: {out_of_order} out of order, {inverted} inverted of {}", sent.len());
    assert!(out_of_order > 0 && inverted > 0, "{out_of_order} {inverted}");
}

#[tokio::test]
async fn the_lock_is_of_this_key_and_this_outbox_until_the_transaction_ends() {
    let (outbox, pool) = fresh().await;
    let other = Postgres::new().prefix("other").unwrap();
    other.migrate(&pool).await.unwrap();
    let public = Postgres::new().schema("public").unwrap();
    let mut held = pool.begin().await.unwrap();
    outbox.lock_key(&mut held, 7).await.unwrap();
    outbox.lock_key(&mut held, 7).await.expect("again is nothing to do");

    let mut tx = pool.begin().await.unwrap();
    sqlx::query("set local lock_timeout = '50ms'").execute(&mut *tx).await.unwrap();
    outbox.lock_key(&mut tx, 8).await.expect("another key");
    other.lock_key(&mut tx, 7).await.expect("another outbox");
    let error = public.lock_key(&mut tx, "7").await.expect_err("the same, by another name");
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert!(error.to_string().starts_with("lock key"), "{error}");
    drop(tx);
    drop(held);
    let mut tx = pool.begin().await.unwrap();
    outbox.lock_key(&mut tx, 7).await.expect("free");
}

#[tokio::test]
async fn outside_a_transaction_nothing_is_locked() {
    let (outbox, pool) = fresh().await;
    let mut conn = pool.acquire().await.unwrap();
    let error = outbox.lock_key(&mut conn, 7).await.expect_err("refused");
    assert_eq!(error.kind(), StoreErrorKind::NotInTransaction);
    assert!(error.to_string().contains("pool.begin()"), "{error}");
    let none: i64 =
        sqlx::query_scalar("select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")
            .fetch_one(&mut *conn)
            .await
            .unwrap();
    assert_eq!(none, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_are_locked_in_one_order() {
    let (outbox, pool) = fresh().await;
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let (outbox, pool) = (outbox.clone(), pool.clone());
            tokio::spawn(async move {
                for n in 0..50 {
                    // Another order of the same keys in every task.
                    let mut keys: Vec<u64> = (0..20).collect();
                    keys.sort_by_key(|key| (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (task * 131 + n)));
                    let mut tx = pool.begin().await.unwrap();
                    outbox.lock_keys(&mut tx, keys).await.expect("no deadlock");
                    outbox.commit(tx).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // One by one in two orders, so that the loop above can fail.
    let (mut one, mut two) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    outbox.lock_key(&mut one, "a").await.unwrap();
    outbox.lock_key(&mut two, "b").await.unwrap();
    let crossed = tokio::join!(outbox.lock_key(&mut one, "b"), async {
        let crossed = outbox.lock_key(&mut two, "a").await;
        drop(two);
        crossed
    });
    let errors: Vec<_> = [crossed.0, crossed.1].into_iter().filter_map(Result::err).collect();
    assert!(errors.iter().all(|e| e.kind() == StoreErrorKind::Conflict) && !errors.is_empty(), "{errors:?}");
}
