//! From the first migration with rows in the tables, on MySQL and MariaDB.
#![cfg(feature = "mysql")]

use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, StoreRelay};
use outbox_sqlx::Mysql;
use sqlx::{AssertSqlSafe, MySqlPool};

const SOON: Duration = Duration::from_secs(20);

/// 1 to 3 were settled, 5 and 6 are in flight, 4 is parked and 7 is dead; the rest waits. The owner is gone.
const MID_FLIGHT: &str = "
    delete from outbox_message where seq < 4;
    insert into outbox_relay (relay, owner, epoch, token, server, expires_at, lease, position)
    values ('a', unhex(replace(uuid(), '-', '')), 3, unhex(replace(uuid(), '-', '')), @@server_id, '2026-01-01', 10000, 7);
    insert into outbox_parked (relay, seq, id, topic, `key`, event_type, payload, created_at, attempts, next_attempt_at)
    select 'a', seq, id, topic, `key`, event_type, payload, created_at, 2, '2026-01-01' from outbox_message where seq = 4;
    insert into outbox_dead_letter (relay, seq, id, topic, `key`, event_type, payload, created_at, reason, attempts)
    select 'a', seq, id, topic, `key`, event_type, payload, created_at, 'refused', 3 from outbox_message where seq = 7;
    delete from outbox_message where seq in (4, 7)";

async fn run(pool: &MySqlPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

async fn nothing_is_lost(pool: MySqlPool) {
    let outbox = Mysql::new().keep_for(SOON);
    run(&pool, &outbox.migrations()[0]).await;
    let write = async |numbers: std::ops::RangeInclusive<i64>| {
        let mut tx = pool.begin().await.unwrap();
        let messages = numbers.map(|n| Message::new("t", n.to_string()).key(n % 3));
        outbox.enqueue_all(&mut tx, messages).await.unwrap();
        tx.commit().await.unwrap();
    };
    write(1..=20).await;
    run(&pool, MID_FLIGHT).await;
    let sent = MemoryTransport::new();
    let relay = StoreRelay::builder("a", outbox.store(pool.clone()), sent.clone()).build().expect("valid settings");
    let error = format!("{:#}", anyhow::Error::from(relay.run_once().await.expect_err("older")));
    assert!(error.contains("version 1") && error.contains("outbox migrate"), "{error}");

    // An application of the older code writes on, before and after.
    let migrated = tokio::join!(outbox.migrate(&pool), outbox.migrate(&pool), write(21..=22));
    migrated.0.and(migrated.1).expect("many at once do no harm");
    testkit::eventually("the parked one is delivered too", SOON, || async {
        relay.until_drained(SOON).await.expect("drained");
        outbox.status(&pool).await.unwrap()[0].parked == 0
    })
    .await;
    let mut came: Vec<i64> = sent.take().iter().map(|m| m.event_type().parse().unwrap()).collect();
    came.sort_unstable();
    assert_eq!(came, [vec![4, 5, 6], (8..=22).collect()].concat());
    let unpublished = sqlx::query_scalar::<_, String>("select event_type from outbox where published_at is null");
    assert_eq!(unpublished.fetch_all(&pool).await.unwrap(), ["7"], "the view knows what was delivered");
}

#[tokio::test]
async fn nothing_is_lost_on_mysql() {
    nothing_is_lost(MySqlPool::connect(&testkit::Mysql::mysql().await.database().await).await.unwrap()).await;
}

#[tokio::test]
async fn nothing_is_lost_on_mariadb() {
    nothing_is_lost(MySqlPool::connect(&testkit::Mysql::mariadb().await.database().await).await.unwrap()).await;
}
