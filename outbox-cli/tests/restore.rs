//! The database becomes another one under the relay's cursor: a restored dump, a table that begins anew.

mod common;

use std::collections::HashSet;

use common::shop::{Shop, name};
use common::{RELAY, SOON, terminate, works};
use sqlx::AssertSqlSafe;
use testkit::{Kafka, Postgres};

const SETTINGS: &str = "lease_seconds = 8\npublish_deadline_seconds = 4";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_restored_into_a_fresh_server_loses_nothing() {
    let (server, fresh) = tokio::join!(Postgres::shared(), Postgres::own());
    let shop = Shop::with(server.database().await, Kafka::shared().await).await;
    // Some are delivered at the time of the dump, some wait.
    shop.write(0..300).await;
    let mut relay = shop.config(SETTINGS).active_relay().await;
    shop.drained().await;
    terminate(&mut relay).await;
    shop.write(300..400).await;
    let dump = server.exec(&["pg_dump", "-U", "postgres", "--inserts", name(&shop.url)]).await;
    // The first database lives on for a while: what it delivers now, the dump has never heard of.
    let mut relay = shop.config(SETTINGS).active_relay().await;
    shop.drained().await;
    terminate(&mut relay).await;

    let url = fresh.database().await;
    let restored = Shop { url: url.clone(), pool: sqlx::PgPool::connect(&url).await.unwrap(), ..shop };
    // Without the commands that only psql understands.
    let sql: Vec<&str> = dump.lines().filter(|line| !line.starts_with('\\')).collect();
    let mut conn = restored.pool.acquire().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.join("\n"))).execute(&mut *conn).await.expect("the dump is restored");
    // It has lost the search path to the dump's settings.
    conn.close().await.unwrap();
    restored.write(400..500).await;
    let mut relay = restored.config(SETTINGS).active_relay().await;
    restored.drained().await;
    // And goes on.
    restored.write(500..600).await;
    restored.drained().await;
    terminate(&mut relay).await;

    let verdict = restored.verdict().await;
    println!("{verdict}");
    assert_eq!(verdict.committed, 600);
    // At most what waited at the time of the dump; none of it was delivered before by this database.
    verdict.assert_clean(100);
    assert_eq!(verdict.duplicates, 100, "the first database delivered them too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_beside_the_running_database_loses_nothing() {
    let server = Postgres::shared().await;
    let shop = Shop::with(server.database().await, Kafka::shared().await).await;
    let relay = shop.config(SETTINGS).active_relay().await;
    shop.write(0..200).await;
    shop.drained().await;
    // The dump is taken under a relay that runs; its lease and its token come along.
    shop.write(200..300).await;
    let url = server.database().await;
    let copy =
        format!("pg_dump -U postgres {} | psql -U postgres -qd {} -v ON_ERROR_STOP=1", name(&shop.url), name(&url));
    server.exec(&["bash", "-o", "pipefail", "-c", &copy]).await;
    shop.drained().await;
    drop(relay);

    let restored = Shop { url: url.clone(), pool: sqlx::PgPool::connect(&url).await.unwrap(), ..shop };
    restored.write(300..400).await;
    let mut relay = restored.config(SETTINGS).active_relay().await;
    restored.drained().await;
    terminate(&mut relay).await;
    let verdict = restored.verdict().await;
    println!("{verdict}");
    assert_eq!(verdict.committed, 400);
    // What was not settled at the time of the dump: all of it may have been delivered.
    verdict.assert_clean(300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_begins_anew_stops_the_relay_and_reset_mends_it() {
    let shop = Shop::open().await;
    let config = shop.config(SETTINGS);
    let mut relay = config.active_relay().await;
    shop.write(0..50).await;
    shop.drained().await;
    shop.run("TRUNCATE outbox_message RESTART IDENTITY").await;
    shop.write(50..60).await;
    let mend = format!("outbox reset {RELAY}");
    let status = relay.wait(SOON).await;
    let said = relay.output();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("the message sequence went back") && said.contains(&mend), "{said}");
    // It stays stopped until somebody mends it.
    let mut relay = config.relay();
    assert_eq!(relay.wait(SOON).await.code(), Some(1));
    assert!(relay.output().contains(&mend), "{}", relay.output());

    let said = works(&["reset", RELAY, "--config", config.path()]).await;
    assert!(said.contains("from the first message"), "{said}");
    let mut relay = config.active_relay().await;
    shop.drained().await;
    terminate(&mut relay).await;
    let arrived: HashSet<String> =
        shop.records().await.iter().filter_map(|r| r.header("message-id").map(Into::into)).collect();
    let stored = shop.stored().await;
    assert_eq!((arrived.len(), stored.len()), (60, 10));
    assert!(stored.iter().all(|(id, ..)| arrived.contains(id)), "what was written after the truncation arrives");
}
