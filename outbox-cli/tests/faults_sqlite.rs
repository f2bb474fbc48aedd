//! The relay process is killed while 5,000 messages are written to a SQLite file.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::traffic::{Ended, Notes, Plan, Stored, judge, numbered, pace};
use common::{Config, Directory, SOON, chance, terminate, works};
use outbox::sqlx::Sqlite;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqlitePool};
use testkit::{Kafka, Proxy, eventually, free_port};

const WRITERS: u64 = 4;
const MESSAGES: u64 = 5_000;
const KEYS: u32 = 50;
const RUN: Duration = Duration::from_secs(14);
const WINDOW: usize = 200;
const SETTINGS: &str = "lease_seconds = 4\npublish_deadline_seconds = 2\nbatch = 50\nwindow_messages = 200";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_the_relay_lose_nothing_invent_nothing_and_keep_the_order() {
    let mut chance = chance();
    let port = free_port();
    let kafka = Kafka::own_behind(port).await;
    // So that much is on its way at any time.
    let way = Proxy::start_on(port, format!("127.0.0.1:{}", kafka.direct_port())).await.expect("a free port");
    way.delay(Duration::from_millis(40));
    let topic = kafka.topic("orders", 3).await;
    let directory = Directory::new();
    let file = directory.file("shop.db");
    works(&["migrate", "--url", &format!("sqlite:{file}")]).await;
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&file).busy_timeout(SOON)).await.unwrap();
    let outbox = Sqlite::new();
    sqlx::raw_sql("create table counter (key text primary key, n integer not null)").execute(&pool).await.unwrap();
    let config = Config::relay_of(&format!("sqlite:{file}"), kafka.bootstrap(), SETTINGS);

    let notes = Arc::new(Notes::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let chance = StdRng::seed_from_u64(chance.random());
            tokio::spawn(write(pool.clone(), outbox.clone(), topic.clone(), notes.clone(), chance))
        })
        .collect();
    let moments = [1, 2, 3].map(|part| MESSAGES * part / 5 + chance.random_range(0..MESSAGES / 5));
    let mut relay = config.relay();
    for moment in moments {
        notes.reached(moment).await;
        relay.kill9();
        let status = relay.wait(SOON).await;
        assert_eq!(status.signal(), Some(9), "the relay ended by itself:\n{}", relay.output());
        relay = config.relay();
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    let healed = Instant::now();
    let drained = async || {
        let relays = outbox.status(&pool).await.expect("the file is there");
        relays.first().is_some_and(|r| (r.waiting, r.parked) == (0, 0))
    };
    eventually("everything is settled", SOON, drained).await;
    println!("drained {:.1?} after the last writer; killed at {moments:?} of {MESSAGES}", healed.elapsed());
    terminate(&mut relay).await;

    let sql = "select lower(hex(id)), key, payload from outbox_message order by seq";
    let stored: Vec<Stored> = sqlx::query_as(sql).fetch_all(&pool).await.unwrap();
    let uuid = |hex: &str| uuid::Uuid::parse_str(hex).expect("16 bytes").to_string();
    let stored: Vec<Stored> = stored.into_iter().map(|(id, key, payload)| (uuid(&id), key, payload)).collect();
    let (ids, rolled_back) = (notes.ids(), notes.rolled_back());
    assert!(stored.iter().all(|(id, ..)| ids.contains(id) && !rolled_back.contains(id)), "G1 of the table");
    assert_eq!(stored.len(), ids.len(), "nothing that was committed is undone");
    let verdict = judge(&stored, ids, &kafka.consume(&topic).await);
    println!("{verdict}");
    verdict.assert_clean(moments.len() * WINDOW);
}

async fn write(pool: SqlitePool, outbox: Sqlite, topic: String, notes: Arc<Notes>, mut chance: StdRng) {
    let (began, all) = (tokio::time::Instant::now(), MESSAGES / WRITERS);
    let mut written = 0;
    while written < all {
        pace(began, RUN, written, all).await;
        let plan = Plan::draw(&mut chance, KEYS);
        let ended = transaction(&pool, &outbox, &topic, &plan).await.expect("one writer waits for the other");
        written += notes.ended(ended);
    }
}

async fn transaction(pool: &SqlitePool, outbox: &Sqlite, topic: &str, plan: &Plan) -> anyhow::Result<Ended> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let mut ids = Vec::new();
    for (key, count) in &plan.keys {
        if plan.undo {
            let mut savepoint = tx.begin().await?;
            let n = count_up(&mut savepoint, key, 1).await?;
            outbox.enqueue(&mut savepoint, numbered(topic, key, n)).await?;
            savepoint.rollback().await?;
        }
        let last = count_up(&mut tx, key, *count).await?;
        let messages: Vec<_> = (last - count + 1..=last).map(|n| numbered(topic, key, n)).collect();
        ids.extend(messages.iter().map(|m| m.id.to_string()));
        if plan.savepoints {
            for message in messages {
                let mut savepoint = tx.begin().await?;
                outbox.enqueue(&mut savepoint, message).await?;
                savepoint.commit().await?;
            }
        } else {
            outbox.enqueue_all(&mut tx, messages).await?;
        }
    }
    if plan.roll_back {
        tx.rollback().await?;
        return Ok(Ended::RolledBack(ids));
    }
    outbox.commit(tx).await?;
    Ok(Ended::Committed(ids))
}

async fn count_up(conn: &mut sqlx::SqliteConnection, key: &str, by: i64) -> Result<i64, sqlx::Error> {
    let sql = "insert into counter (key, n) values ($1, $2) on conflict do update set n = n + $2 returning n";
    sqlx::query_scalar(sql).bind(key).bind(by).fetch_one(conn).await
}
