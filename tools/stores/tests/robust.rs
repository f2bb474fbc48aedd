//! What happens to databases and transactions: the relay goes on by itself.

use std::time::{Duration, Instant};

use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, Relay};
use stores::{Load, MysqlSite, PgSite, Site, Size, SqliteSite, Stage, turn};

const RELAY: &str = env!("CARGO_BIN_EXE_stores-relay");
const SOON: Duration = Duration::from_secs(30);

fn load(messages: usize) -> Load {
    Load { messages, writers: 8, seed: rand::random(), faults: true, ..Load::default() }
}

async fn postgres() -> PgSite {
    PgSite::new(testkit::Postgres::shared().await.database().await, 16).await.expect("a database")
}

async fn mysql() -> MysqlSite {
    MysqlSite::new(testkit::Mysql::mysql().await.database().await, 16).await.expect("a database")
}

async fn mariadb() -> MysqlSite {
    MysqlSite::new(testkit::Mysql::mariadb().await.database().await, 16).await.expect("a database")
}

async fn sqlite(dir: &tempfile::TempDir) -> SqliteSite {
    SqliteSite::new(&dir.path().join("robust.db"), 16).await.expect("a file")
}

/// The server is killed while messages are written and delivered, and comes back.
async fn killed(site: impl Site, server: &testkit::Server) {
    let _turn = turn().await;
    let load = load(3_000);
    let mut stage = Stage::start(RELAY, site.url(), None).await;
    let writing = load.spawn(&site, &stage.ledger);
    stage.wait_for(load.messages / 3).await;
    server.kill().await;
    stage.relays.lost().await;
    server.start().await;
    let written = writing.await.expect("the writers");
    assert!(written.failed.0 > 0, "no writer has noticed");
    assert_eq!(stage.wait_for_all(&written.ids).await, 0, "messages are missing");
    let ended = stage.end().await;
    println!("{} killed: {} failed transactions\n{}", site.version().await.unwrap(), written.failed.0, ended.verdict);
    ended.assert_clean(1);
    assert_eq!(site.waiting().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_comes_back() {
    let server = testkit::Postgres::own().await;
    killed(PgSite::new(server.database().await, 16).await.unwrap(), &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_mysql_comes_back() {
    let server = testkit::Mysql::own_mysql().await;
    killed(MysqlSite::new(server.database().await, 16).await.unwrap(), &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_mariadb_comes_back() {
    let server = testkit::Mysql::own_mariadb().await;
    killed(MysqlSite::new(server.database().await, 16).await.unwrap(), &server).await;
}

/// The application's only connection is in use all the time.
async fn one_connection(site: impl Site) {
    let sent = MemoryTransport::new();
    let relay = site.relay(sent.clone()).build().unwrap();
    for n in 0..3 {
        let mut tx = site.begin().await.unwrap();
        if n > 0 {
            assert_eq!(relay.until_drained(SOON).await.unwrap(), 1, "while the only connection is in use");
        }
        site.enqueue(&mut tx, vec![Message::new("t", "e").text(n.to_string())]).await.unwrap();
        site.commit(tx).await.unwrap();
    }
    assert_eq!(relay.until_drained(SOON).await.unwrap(), 1);
    let payloads: Vec<_> = sent.take().iter().map(|m| m.payload().to_vec()).collect();
    assert_eq!(payloads, [b"0", b"1", b"2"]);
}

#[tokio::test]
async fn a_pool_of_one_connection_is_enough() {
    one_connection(PgSite::new(testkit::Postgres::shared().await.database().await, 1).await.unwrap()).await;
    one_connection(MysqlSite::new(testkit::Mysql::mysql().await.database().await, 1).await.unwrap()).await;
    one_connection(MysqlSite::new(testkit::Mysql::mariadb().await.database().await, 1).await.unwrap()).await;
}

/// Transactions that have nothing to do with the outbox stay open; messages keep flowing.
async fn foreign(site: impl Site) {
    let _turn = turn().await;
    let mut stage = Stage::start(RELAY, site.url(), None).await;
    let opened = site.foreign().await.expect("foreign transactions");
    let (started, mut written, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    while started.elapsed() < Size::of_environment().foreign {
        let burst = load(400).run(&site, &stage.ledger).await;
        let committed = Instant::now();
        let missing = stage.wait_for_all(&burst.ids).await;
        assert_eq!(missing, 0, "messages wait for a foreign transaction");
        slowest = slowest.max(committed.elapsed());
        written += burst.ids.len();
    }
    drop(opened);
    let ended = stage.end().await;
    println!(
        "{}: {written} messages beside foreign transactions of {:.0} s, the last one of a burst after {} ms",
        site.version().await.unwrap(),
        started.elapsed().as_secs_f64(),
        slowest.as_millis()
    );
    ended.assert_clean(0);
    assert!(slowest < Duration::from_secs(20), "messages wait for a foreign transaction: {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_transactions_hold_nothing_back_on_postgres() {
    foreign(postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_transactions_hold_nothing_back_on_mysql() {
    foreign(mysql().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_transactions_hold_nothing_back_on_mariadb() {
    foreign(mariadb().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_transactions_hold_nothing_back_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    foreign(sqlite(&dir).await).await;
}

/// Writers that fail each other, and somebody who locks the relay's row until its lease is lost.
async fn conflicts(site: impl Site, fail: bool) {
    let _turn = turn().await;
    let load = Load { rough: true, ..load(1_000) };
    let mut stage = Stage::start(RELAY, site.url(), None).await;
    let writing = load.spawn(&site, &stage.ledger);
    stage.wait_for(load.messages / 4).await;
    let lock = site.lock_relay().await.expect("the relay's row");
    stage.relays.lost().await;
    site.rollback(lock).await.expect("rolled back");
    let written = writing.await.expect("the writers");
    if fail {
        assert!(written.failed.0 > 0, "no conflict was provoked");
    }
    assert_eq!(stage.wait_for_all(&written.ids).await, 0, "messages are missing");
    let ended = stage.end().await;
    println!(
        "{}: {} messages, {} failed transactions ({}), {} lost leases",
        site.version().await.unwrap(),
        written.ids.len(),
        written.failed.0,
        written.failed.1.unwrap_or_default(),
        ended.lost_leases.len()
    );
    ended.assert_clean(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_pass_on_postgres() {
    let url = testkit::Postgres::shared().await.database().await;
    conflicts(PgSite::serializable(url, 16).await.unwrap(), true).await;
    conflicts(postgres().await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_pass_on_mysql() {
    let url = testkit::Mysql::mysql().await.database().await;
    conflicts(MysqlSite::serializable(url, 16).await.unwrap(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_pass_on_mariadb() {
    let url = testkit::Mysql::mariadb().await.database().await;
    conflicts(MysqlSite::serializable(url, 16).await.unwrap(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_pass_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    // Writers wait for each other here, they do not fail.
    conflicts(sqlite(&dir).await, false).await;
}
