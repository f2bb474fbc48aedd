//! Two lanes on one table of MySQL and MariaDB, where one is away and leaves many messages between those of the other.
#![cfg(feature = "mysql")]

mod servers;

use std::time::Duration;

use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay, StoreRelay};
use outbox_sqlx::Mysql;
use servers::{migrated, on_both};
use sqlx::{AssertSqlSafe, MySqlPool};

const SOON: Duration = Duration::from_secs(60);
/// What takes a scan each time; reading all of them again takes 2 s and more.
const PROMPTLY: Duration = Duration::from_secs(20);
/// Of the lane that is away; as many lie between them, or lay there.
const AWAY: usize = 30_000;

async fn run(pool: &MySqlPool, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("done");
}

async fn count(pool: &MySqlPool) -> i64 {
    sqlx::query_scalar("select count(*) from outbox_message").fetch_one(pool).await.expect("a count")
}

/// So many pairs of messages, of these two topics in turn, in few statements.
async fn write_in_turn(pool: &MySqlPool, pairs: usize, topics: [&str; 2]) {
    let rows: Vec<String> = (0..2 * pairs).map(|n| format!("('{}', '{}', '{n}', '')", topics[n % 2], n % 7)).collect();
    for rows in rows.chunks(10_000) {
        let into = "insert into outbox_message (topic, `key`, event_type, payload) values ";
        run(pool, format!("{into}{}", rows.join(", "))).await;
    }
}

async fn write(outbox: &Mysql, pool: &MySqlPool, messages: impl IntoIterator<Item = Message>) {
    let mut tx = pool.begin().await.expect("begun");
    outbox.enqueue_all(&mut tx, messages).await.expect("written");
    outbox.commit(tx).await.expect("committed");
}

/// A lane of a process that has just started.
fn lane(outbox: &Mysql, pool: &MySqlPool, topics: &[&str], to: &MemoryTransport) -> StoreRelay {
    let relay = StoreRelay::builder("here", outbox.store(pool.clone()), to.clone()).topics(topics.iter().copied());
    relay.build().expect("valid settings")
}

fn types(sent: &MemoryTransport) -> Vec<String> {
    sent.take().iter().map(|m| m.event_type().to_owned()).collect()
}

/// Runs it until it has delivered that many.
async fn until(relay: &StoreRelay, delivered: usize, then: impl AsyncFnOnce()) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(async move { _ = stopped.await }).await }
    });
    let all = async || relay.handle().stats().delivered == delivered as u64;
    testkit::eventually("all of its own are delivered", SOON, all).await;
    then().await;
    stop.send(()).expect("it runs");
    running.await.expect("no panic").expect("drained");
}

async fn a_restart_beside_many_messages_of_a_lane_that_is_away(pool: MySqlPool) {
    let outbox = migrated(&pool).await;
    let sent = MemoryTransport::new();
    write_in_turn(&pool, AWAY, ["away", "here"]).await;
    until(&lane(&outbox, &pool, &["here"], &sent), AWAY, async || ()).await;
    assert_eq!(types(&sent).len(), AWAY);
    let again = lane(&outbox, &pool, &["here"], &sent);
    write(&outbox, &pool, (0..10).map(|n| Message::new("here", n.to_string()).key(1))).await;
    until(&again, 10, async || {
        let rounds = async {
            for round in 0..10 {
                write(&outbox, &pool, (0..10).map(|n| Message::new("here", n.to_string()).key(1))).await;
                let all = async || again.handle().stats().delivered == 20 + 10 * round;
                testkit::eventually("it goes on", SOON, all).await;
            }
        };
        tokio::time::timeout(PROMPTLY, rounds).await.expect("promptly, each time");
    })
    .await;
    let order: Vec<String> = (0..110).map(|n| (n % 10).to_string()).collect();
    assert_eq!(types(&sent), order);
    assert_eq!(count(&pool).await, AWAY as i64, "of the other lane none is gone");
}

async fn a_first_start_beside_many_messages_of_other_lanes(pool: MySqlPool) {
    let outbox = migrated(&pool).await;
    let sent = MemoryTransport::new();
    // Somebody changed the collation to one for which "here" and "heré" are the same.
    let topic = "topic varchar(255) character set utf8mb4 collate utf8mb4_general_ci not null";
    run(&pool, format!("alter table outbox_message modify {topic}")).await;
    // Nothing tells where the new lane was, and one of the others has delivered what it had.
    write_in_turn(&pool, AWAY / 2, ["here ", "gone"]).await;
    let own = ["here", "here.ü%_", "here_", "hereü"].map(|topic| Message::new(topic, topic).key(1));
    write(&outbox, &pool, own.clone()).await;
    write_in_turn(&pool, AWAY / 2, ["heré", "gone"]).await;
    run(&pool, "delete from outbox_message where topic = 'gone'".to_owned()).await;
    write(&outbox, &pool, own).await;
    until(&lane(&outbox, &pool, &["here", "here.*", "hereü*"], &sent), 6, async || ()).await;
    assert_eq!(types(&sent), ["here", "here.ü%_", "hereü", "here", "here.ü%_", "hereü"]);
    assert_eq!(count(&pool).await, AWAY as i64 + 2);
}

async fn a_late_commit_among_messages_of_a_lane_that_is_away(pool: MySqlPool) {
    let outbox = migrated(&pool).await;
    let sent = MemoryTransport::new();
    write_in_turn(&pool, AWAY / 2, ["away", "here"]).await;
    let (mut late, mut later) = (pool.begin().await.expect("begun"), pool.begin().await.expect("begun"));
    outbox.enqueue(&mut late, Message::new("here", "late").key("k")).await.expect("written");
    write_in_turn(&pool, AWAY / 2, ["away", "here"]).await;
    outbox.enqueue(&mut later, Message::new("here", "even later").key("k")).await.expect("written");
    until(&lane(&outbox, &pool, &["here"], &sent), AWAY, async || ()).await;
    sent.take();
    let again = lane(&outbox, &pool, &["here"], &sent);
    write(&outbox, &pool, [Message::new("here", "first").key("k")]).await;
    until(&again, 1, async || {
        outbox.commit(late).await.expect("committed");
        write(&outbox, &pool, [Message::new("here", "next").key("k")]).await;
        testkit::eventually("both", SOON, async || again.handle().stats().delivered == 3).await;
        outbox.commit(later).await.expect("committed");
        testkit::eventually("the last one", SOON, async || again.handle().stats().delivered == 4).await;
    })
    .await;
    assert_eq!(types(&sent), ["first", "late", "next", "even later"]);
}

on_both![
    a_restart_beside_many_messages_of_a_lane_that_is_away,
    a_first_start_beside_many_messages_of_other_lanes,
    a_late_commit_among_messages_of_a_lane_that_is_away,
];
