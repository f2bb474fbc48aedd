//! From the first migration with rows in the tables, and what code does with tables that are older or newer.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

mod both;

use std::time::Duration;

use both::{OnPostgres, OnSqlite, SOON, Shop, numbers, on_both, tags};
use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, RelayError, StoreErrorKind, StoreRelay};
use testkit::eventually;

/// A cursor in mid-flight: 1 to 12 were handed out, of which 5, 6 and 9 are not settled, 4 is parked and 7 is dead; 13
/// to 20 were not handed out.
async fn mid_flight<S: Shop>(fill: &str) -> S {
    let shop = S::empty().await;
    let first = shop.migrations()[0].clone();
    shop.run(&format!("begin; {first} commit;")).await;
    shop.numbered("t", 1..=20).await;
    shop.run(fill).await;
    shop.run(
        "insert into outbox_dead_letter (relay, seq, id, topic, event_type, payload, created_at, reason, attempts)
         select 'a', seq, id, topic, event_type, payload, created_at, 'refused', 3 from outbox_message where seq = 7",
    )
    .await;
    shop
}

async fn nothing_is_lost<S: Shop>(fill: &str) {
    let shop = mid_flight::<S>(fill).await;
    let to = MemoryTransport::new();
    let relay = shop.relay("a", &to);
    let error = relay.run_once().await.expect_err("older");
    let error = format!("{:#}", anyhow::Error::from(error));
    assert!(error.contains("version 1") && error.contains("outbox migrate"), "{error}");
    assert_eq!(tags(&to).len(), 0);
    let error = shop.try_retain(Duration::ZERO).await.expect_err("older");
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");

    // An application of the older code writes on, before and after.
    let migrated = tokio::join!(shop.migrate(), shop.migrate(), shop.numbered("t", 21..=22));
    migrated.0.and(migrated.1).expect("many at once do no harm");
    shop.run("insert into outbox (event_type, payload) values ('23', 'x')").await;
    let relay = shop.relay("a", &to);
    eventually("the parked one is delivered too", SOON, || async {
        relay.until_drained(SOON).await.unwrap();
        shop.count("outbox_parked").await == 0
    })
    .await;
    let mut came: Vec<i64> = tags(&to).iter().map(|tag| tag.parse().unwrap()).collect();
    came.sort_unstable();
    assert_eq!(came, [vec![4, 5, 6, 9], (13..=23).collect()].concat());
    assert_eq!(shop.count("outbox_dead_letter").await, 1);
    let unpublished = shop.texts("select event_type from outbox where published_at is null").await;
    assert_eq!(unpublished, [Some("7".into())], "the view is that of before");
    assert_eq!(shop.retain(Duration::ZERO).await, 23);
    assert_eq!(shop.kept().await, numbers([]));
}

#[tokio::test]
async fn nothing_is_lost_on_postgres() {
    nothing_is_lost::<OnPostgres>(
        "insert into outbox_relay (relay, owner, epoch, expires_at, lease, position, floor, snapshot, unsettled)
         values ('a', gen_random_uuid(), 3, now() - interval '1 s', '10 s', 12, 2, pg_current_snapshot(), '{[5,7),[9,10)}');
         insert into outbox_incarnation (relay, token, server, tab, filenode)
         values ('a', gen_random_uuid(), pg_postmaster_start_time(), 'outbox_incarnation'::regclass::oid,
                 pg_relation_filenode('outbox_message_seq_seq'));
         insert into outbox_parked (relay, seq, key, attempts, next_attempt_at) values ('a', 4, '1', 2, now());
         insert into outbox_progress (relay, position, at) values ('a', 2, now())",
    )
    .await;
}

#[tokio::test]
async fn nothing_is_lost_on_sqlite() {
    nothing_is_lost::<OnSqlite>(
        "pragma journal_mode = wal;
         insert into outbox_relay (relay, owner, epoch, token, expires_at, lease, position, floor, unsettled)
         values ('a', 'x', 3, 'x', 5, 10000, 12, 2, '[[5,6],[9,9]]');
         insert into outbox_parked (relay, seq, key, attempts, next_attempt_at) values ('a', 4, '1', 2, 5);
         insert into outbox_progress (relay, position, at) values ('a', 2, 5)",
    )
    .await;
}

on_both!(code_older_than_the_tables_goes_on_under_its_lease_and_then_refuses, a_standby_that_is_too_old_refuses);

/// The error that ended a relay.
async fn ended(running: tokio::task::JoinHandle<Result<(), RelayError>>) -> String {
    let ended = tokio::time::timeout(SOON, running).await.expect("it ends").unwrap();
    let error = ended.expect_err("it refuses");
    let RelayError::Store { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.kind(), StoreErrorKind::Schema, "{source}");
    source.to_string()
}

fn run(relay: &StoreRelay) -> tokio::task::JoinHandle<Result<(), RelayError>> {
    let relay = relay.clone();
    tokio::spawn(async move { relay.run(std::future::pending()).await })
}

async fn code_older_than_the_tables_goes_on_under_its_lease_and_then_refuses<S: Shop>() {
    let shop = S::open().await;
    let to = MemoryTransport::new();
    let relay = shop.relay("a", &to);
    let running = run(&relay);
    eventually("it runs", SOON, || async { relay.handle().stats().active }).await;
    shop.run("insert into outbox_schema (version) values (5)").await;
    shop.numbered("t", 1..=5).await;
    // A migration adds and takes nothing away, so what runs goes on.
    eventually("it goes on", SOON, || async { relay.handle().stats().delivered == 5 }).await;
    shop.run("update outbox_relay set epoch = epoch + 1").await;
    let error = ended(running).await;
    assert!(error.contains("version 5") && error.contains("upgrade this program"), "{error}");
    for error in
        [shop.try_retain(Duration::ZERO).await.err(), shop.migrate().await.err(), shop.drop_relay("a").await.err()]
    {
        assert!(error.expect("refused").to_string().contains("upgrade this program"));
    }
    assert_eq!(shop.kept().await.len(), 5, "nothing was changed");
}

async fn a_standby_that_is_too_old_refuses<S: Shop>() {
    let shop = S::open().await;
    let (first, second) = (shop.relay("a", &MemoryTransport::new()), shop.relay("a", &MemoryTransport::new()));
    let holder = run(&first);
    eventually("the first has the lease", SOON, || async { first.handle().stats().active }).await;
    assert!(matches!(second.run_once().await, Err(RelayError::Standby { .. })), "its connection is kept");
    shop.run("insert into outbox_schema (version) values (5)").await;
    let error = ended(run(&second)).await;
    assert!(error.contains("upgrade this program"), "{error}");
    holder.abort();
}

/// Whoever reads the view for long keeps a migration waiting, but not those who write behind it.
#[tokio::test]
async fn a_migration_that_cannot_have_the_tables_gives_up_soon() {
    let shop = OnPostgres::empty().await;
    shop.run(&format!("begin; {} commit;", shop.migrations()[0])).await;
    let mut reader = shop.1.begin().await.unwrap();
    sqlx::raw_sql("select count(*) from outbox").execute(&mut *reader).await.unwrap();
    let error = tokio::time::timeout(SOON, shop.migrate()).await.expect("it gives up").expect_err("the view is read");
    assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error}");
    shop.write(vec![Message::new("t", "e")]).await;
    reader.rollback().await.unwrap();
    shop.migrate().await.unwrap();
    shop.relay("a", &MemoryTransport::new()).until_drained(SOON).await.unwrap();
}
