//! Everything between Postgres and Kafka fails while 20,000 messages are written.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::shop::{Shop, at};
use common::traffic::{Ended, Notes, Plan, judge, numbered, pace};
use common::{Config, SOON, chance, terminate};
use outbox::sqlx::Postgres;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool};
use testkit::{Kafka, KafkaRecord, Process, Proxy, free_port};

const WRITERS: u64 = 8;
const MESSAGES: u64 = 20_000;
const KEYS: u32 = 200;
/// How long the writers take where nothing is in their way.
const RUN: Duration = Duration::from_secs(32);
/// Messages that a fault may make the relay send twice.
const WINDOW: usize = 500;
/// To Kafka and back from it, so that much is on its way at any time.
const WAY: Duration = Duration::from_millis(40);
/// Messages that are written while Kafka is away, at least.
const OUTAGE: u64 = 1_500;
const SETTINGS: &str = "lease_seconds = 4\npublish_deadline_seconds = 2\nbatch = 100\nwindow_messages = 500";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_of_everything_lose_nothing_invent_nothing_and_keep_the_order() {
    let mut chance = chance();
    let port = free_port();
    let (server, kafka) = tokio::join!(testkit::Postgres::own(), Kafka::own_behind(port));
    let way = Proxy::start_on(port, format!("127.0.0.1:{}", kafka.direct_port())).await.expect("a free port");
    way.delay(WAY);
    let shop = Shop::with(server.database().await, kafka).await;
    shop.run(&format!(
        "create table counter (key text primary key, n int8 not null) with (fillfactor = 50); \
         insert into counter select 'k' || k, 0 from generate_series(0, {}) k",
        KEYS - 1
    ))
    .await;
    let proxy = Proxy::start(format!("127.0.0.1:{}", server.port())).await.expect("a free port");
    let config = Config::relay_of(&at(&shop.url, &proxy.addr().to_string()), shop.kafka.bootstrap(), SETTINGS);

    let (notes, faults) = (Arc::new(Notes::default()), Faults::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let options = PgConnectOptions::from_str(&shop.url).unwrap().options([("synchronous_commit", "off")]);
            let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
            let chance = StdRng::seed_from_u64(chance.random());
            tokio::spawn(write(pool, shop.outbox.clone(), shop.topic.clone(), notes.clone(), chance))
        })
        .collect();
    // Each in a part of the run of its own, so that some of it hits a relay that works.
    let mut moments = |n: u64| -> Vec<u64> {
        let (first, part) = (MESSAGES / 20, MESSAGES * 17 / 20 / n);
        (0..n).map(|i| first + part * i + chance.random_range(0..part)).collect()
    };
    let outage = moments(1)[0];
    let (mut first, mut second, (), (), ()) = tokio::join!(
        killed(&config, moments(3), &notes, &faults),
        killed(&config, moments(3), &notes, &faults),
        faults.at(&notes, moments(1)[0], "connections to the database cut", async || proxy.cut()),
        faults.at(&notes, moments(1)[0], "Postgres killed and started", async || {
            server.kill().await;
            faults.crashed();
            server.start().await;
        }),
        faults.at(&notes, outage, "Kafka stopped for a while", async || {
            shop.kafka.stop_gracefully().await;
            notes.reached(outage + OUTAGE).await;
            shop.kafka.start().await;
        }),
    );
    for writer in writers {
        writer.await.expect("a writer");
    }
    let healed = Instant::now();
    shop.drained().await;
    let drained = healed.elapsed();
    terminate(&mut first).await;
    terminate(&mut second).await;

    let (records, stored) = (shop.records().await, shop.stored().await);
    let (ids, rolled_back) = (notes.ids(), notes.rolled_back());
    for (id, ..) in &stored {
        assert!(ids.contains(id) && !rolled_back.contains(id), "the table holds {id}, which nobody committed");
    }
    let verdict = judge(&stored, ids, &records);
    let most = faults.count() * WINDOW + faults.forgotten(&records);
    println!("{verdict}\n");
    println!("{:<16}{:>9}  of {most} that G4 allows", "duplicates", verdict.duplicates);
    println!("{:<16}{:>9}  whose commit was not answered", "unknown", notes.unknown());
    let takeovers = shop.text("select epoch::text from outbox_relay").await.unwrap_or_default();
    println!("{:<16}{takeovers:>9}", "takeovers");
    println!("drained {drained:.1?} after the last writer\n{}", faults.table(&records));
    assert!(stored.len() as u64 > MESSAGES * 9 / 10, "{} messages are no test", stored.len());
    verdict.assert_clean(most);
}

/// A relay process that is killed at each of these moments, and started again.
async fn killed(config: &Config, moments: Vec<u64>, notes: &Notes, faults: &Faults) -> Process {
    let mut relay = config.relay();
    for moment in moments {
        let relay = &mut relay;
        let kill = async || {
            relay.kill9();
            let status = relay.wait(SOON).await;
            assert_eq!(status.signal(), Some(9), "the relay ended by itself:\n{}", relay.output());
            assert!(!relay.output().contains("panicked"), "{}", relay.output());
            *relay = config.relay();
        };
        faults.at(notes, moment, "relay process killed and started", kill).await;
    }
    relay
}

async fn write(pool: PgPool, outbox: Postgres, topic: String, notes: Arc<Notes>, mut chance: StdRng) {
    let (began, all) = (tokio::time::Instant::now(), MESSAGES / WRITERS);
    let mut written = 0;
    while written < all {
        pace(began, RUN, written, all).await;
        let plan = Plan::draw(&mut chance, KEYS);
        match transaction(&pool, &outbox, &topic, &plan).await {
            Ok(ended) => written += notes.ended(ended),
            // The server is away, and a new transaction has to be begun.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// An error means that the transaction was not committed.
async fn transaction(pool: &PgPool, outbox: &Postgres, topic: &str, plan: &Plan) -> anyhow::Result<Ended> {
    let mut tx = pool.begin().await?;
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
        tokio::time::sleep(plan.pause).await;
    }
    if plan.roll_back {
        tx.rollback().await?;
        return Ok(Ended::RolledBack(ids));
    }
    Ok(match outbox.commit(tx).await {
        Ok(()) => Ended::Committed(ids),
        Err(_) => Ended::Unknown(ids),
    })
}

/// Takes the key's lock, which orders its writers, and gives the last number.
async fn count_up(conn: &mut sqlx::PgConnection, key: &str, by: i64) -> Result<i64, sqlx::Error> {
    let sql = "update counter set n = n + $2 where key = $1 returning n";
    sqlx::query_scalar(sql).bind(key).bind(by).fetch_one(conn).await
}

/// What was done, and when, in milliseconds since 1970.
#[derive(Debug, Default)]
struct Faults {
    done: Mutex<Vec<(i64, &'static str)>>,
    crash: Mutex<i64>,
}

impl Faults {
    async fn at(&self, notes: &Notes, messages: u64, what: &'static str, fault: impl AsyncFnOnce()) {
        notes.reached(messages).await;
        self.done.lock().unwrap().push((now(), what));
        fault().await;
    }

    fn crashed(&self) {
        *self.crash.lock().unwrap() = now();
    }

    fn count(&self) -> usize {
        self.done.lock().unwrap().len()
    }

    /// What the database forgot of the settlements by its crash: at most that of the last second.
    fn forgotten(&self, records: &[KafkaRecord]) -> usize {
        let crash = *self.crash.lock().unwrap();
        records.iter().filter_map(|r| r.timestamp_millis).filter(|at| (crash - 1_000..=crash).contains(at)).count()
    }

    /// Each with the longest time without a message to Kafka that began before it, or soon after.
    fn table(&self, records: &[KafkaRecord]) -> String {
        let mut times: Vec<i64> = records.iter().filter_map(|r| r.timestamp_millis).collect();
        times.sort_unstable();
        let mut done = self.done.lock().unwrap().clone();
        done.sort_unstable();
        let line = |(at, what): &(i64, &str)| {
            let near = times.windows(2).filter(|w| w[1] > *at && w[0] < at + 2_000);
            let silence = near.map(|w| w[1] - w[0]).max().unwrap_or(0);
            let since = at - times.first().copied().unwrap_or(*at);
            format!("{since:>7} ms  {what:<34} longest silence {silence:>6} ms\n")
        };
        done.iter().map(line).collect()
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292,000,000")
}
