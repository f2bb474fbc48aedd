//! Twelve writers, overlapping transactions, one in ten rolled back, and a relay process that is killed twice. The same
//! run, with a bug planted into the store, must find it.

use stores::{Bug, Load, MysqlSite, PgSite, Report, Site, Size, SqliteSite, stress, turn};

const RELAY: &str = env!("CARGO_BIN_EXE_stores-relay");
const WRITERS: usize = 12;
/// So many find a bug for sure.
const FEW: usize = 10_000;

fn load(messages: usize) -> Load {
    Load { messages, writers: WRITERS, seed: rand::random(), ..Load::default() }
}

async fn sound(site: impl Site) {
    let load = load(Size::of_environment().messages);
    let report = stress(&site, load, RELAY, None).await;
    println!("{report}");
    report.ended.lost_leases.iter().for_each(|lost| println!("    {lost}"));
    report.assert_clean();
    assert!(report.ended.verdict.committed >= load.messages);
}

fn caught(bug: &str, report: &Report, harm: usize) {
    println!("{bug}: {report}");
    assert!(harm > 0, "the run does not find {bug}\n{}", report.ended.verdict);
}

async fn every_time<S: Site>(bug: Bug, site: impl AsyncFn() -> S) {
    for _ in 0..Size::of_environment().repeats {
        let report = stress(&site().await, load(FEW), RELAY, Some(bug)).await;
        caught(bug.name(), &report, report.harm());
    }
}

async fn postgres(server: &testkit::Postgres) -> PgSite {
    PgSite::new(server.database().await, 16).await.expect("a database")
}

async fn mysql(server: &testkit::Mysql) -> MysqlSite {
    MysqlSite::new(server.database().await, 16).await.expect("a database")
}

async fn sqlite(dir: &tempfile::TempDir) -> SqliteSite {
    SqliteSite::new(&dir.path().join("stress.db"), 16).await.expect("a file")
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_loses_and_inverts_nothing() {
    let _turn = turn().await;
    let server = testkit::Postgres::own().await;
    sound(postgres(&server).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_loses_and_inverts_nothing() {
    let _turn = turn().await;
    sound(mysql(&testkit::Mysql::mysql().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_loses_and_inverts_nothing() {
    let _turn = turn().await;
    sound(mysql(&testkit::Mysql::mariadb().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_loses_and_inverts_nothing() {
    let _turn = turn().await;
    let dir = tempfile::tempdir().expect("a directory");
    sound(sqlite(&dir).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_with_a_planted_bug_is_caught() {
    let _turn = turn().await;
    let server = testkit::Postgres::own().await;
    for bug in [Bug::NaiveCursor, Bug::XmaxAsFence] {
        every_time(bug, async || postgres(&server).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_with_a_planted_bug_is_caught() {
    let _turn = turn().await;
    let server = testkit::Mysql::mysql().await;
    for bug in [Bug::NaiveCursor, Bug::RangeDelete] {
        every_time(bug, async || mysql(&server).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_with_a_planted_bug_is_caught() {
    let _turn = turn().await;
    let server = testkit::Mysql::mariadb().await;
    every_time(Bug::RangeDelete, async || mysql(&server).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_writers_that_begin_deferred_are_caught() {
    let _turn = turn().await;
    for _ in 0..Size::of_environment().repeats {
        let dir = tempfile::tempdir().expect("a directory");
        let site = sqlite(&dir).await.deferred();
        let report = stress(&site, load(FEW), RELAY, None).await;
        caught("deferred BEGIN", &report, report.written.failed.0);
        let error = report.written.failed.1.clone().unwrap_or_default();
        assert!(error.contains("locked"), "{error}");
    }
}
