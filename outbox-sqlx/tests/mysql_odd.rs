//! What writers get wrong, and what is too large for one packet, on MySQL and MariaDB.
#![cfg(feature = "mysql")]

mod servers;

use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{AcquireRequest, Acquired, Message, Relay, Settlement, Store, StoreErrorKind, StoreRelay};
use servers::{migrated, on_both};
use sqlx::MySqlPool;

const SOON: Duration = Duration::from_secs(20);

/// A server that does not check JSON lets them in; they must not get lost on the way to the dead letters.
async fn malformed_headers_are_refused_or_become_a_dead_letter(pool: MySqlPool) {
    let outbox = migrated(&pool).await;
    let mut conn = pool.acquire().await.expect("a connection");
    sqlx::raw_sql("set sql_mode = ''").execute(&mut *conn).await.expect("set");
    let insert =
        "insert into outbox_message (topic, `key`, event_type, payload, headers) values ('t', 'k', 'e', '', ?)";
    let mut taken = 0;
    for headers in ["{\"a\"", "{\"a\": oops", "[1]", "{\"a\": 7}", "{}"] {
        taken += i64::from(sqlx::query(insert).bind(headers).execute(&mut *conn).await.is_ok());
    }
    assert!(taken > 0, "the last one is in order");
    let sent = MemoryTransport::new();
    let relay = StoreRelay::builder("test", outbox.store(pool.clone()), sent.clone()).build().expect("valid settings");
    relay.until_drained(SOON).await.expect("none of them stops the relay");
    let dead = "select count(*) from outbox_dead_letter";
    let (dead,): (i64,) = sqlx::query_as(dead).fetch_one(&pool).await.expect("a count");
    assert_eq!(i64::try_from(sent.take().len()).expect("few") + dead, taken, "{dead} dead letters");
}

async fn more_than_a_packet_is_written_in_portions(pool: MySqlPool) {
    let outbox = migrated(&pool).await;
    let sent = MemoryTransport::new();
    let payload = "x".repeat(300_000);
    let mut tx = pool.begin().await.expect("begun");
    let many = (0..100).map(|n| Message::new("t", n.to_string()).key(1).text(payload.as_str()));
    assert_eq!(outbox.enqueue_all(&mut tx, many).await.expect("30 MB"), 100);
    outbox.commit(tx).await.expect("committed");
    let relay = StoreRelay::builder("test", outbox.store(pool.clone()), sent.clone()).build().expect("valid settings");
    assert_eq!(relay.until_drained(SOON).await.expect("drained"), 100);
    let order: Vec<usize> = sent.take().iter().map(|m| m.event_type().parse().expect("a number")).collect();
    assert_eq!(order, (0..100).collect::<Vec<_>>());
}

/// Another name with the same topics may have started meanwhile, and may have ended again.
async fn a_lease_that_has_ended_is_not_renewed(pool: MySqlPool) {
    let outbox = migrated(&pool).await;
    let store = outbox.store(pool.clone());
    let Acquired::Yes(lease, _) = store.acquire(&AcquireRequest::new("old", 1)).await.expect("free") else {
        panic!("held")
    };
    store.settle(&lease, &Settlement::default()).await.expect("renewed");
    let aged = "update outbox_relay set expires_at = timestampadd(second, -60, expires_at)";
    sqlx::raw_sql(aged).execute(&pool).await.expect("aged");
    let other = outbox.store(pool.clone());
    assert!(matches!(other.acquire(&AcquireRequest::new("new", 2)).await.expect("free"), Acquired::Yes(..)));
    let error = store.settle(&lease, &Settlement::default()).await.expect_err("ended");
    assert_eq!(error.kind(), StoreErrorKind::LeaseLost);
    let error = store.acquire(&AcquireRequest::new("old", 1)).await.expect_err("overlaps");
    assert!(error.to_string().contains("do not overlap"), "{error}");
}

on_both![
    malformed_headers_are_refused_or_become_a_dead_letter,
    more_than_a_packet_is_written_in_portions,
    a_lease_that_has_ended_is_not_renewed,
];
