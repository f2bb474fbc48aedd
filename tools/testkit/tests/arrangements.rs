//! Several servers together: a pooler before a database, and a primary with its standby.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Connection, Executor, PgConnection};
use testkit::{PgBouncer, Postgres, PostgresPair};

#[tokio::test]
async fn pgbouncer_pools_transactions() {
    let postgres = Postgres::own().await;
    let pooler = PgBouncer::before(&postgres).await;
    let direct_url = postgres.database().await;
    let url = pooler.through(&direct_url);
    let mut one = PgConnection::connect(&url).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();

    // One after the other they get the same server connection, which is what a session could not do.
    let pid = "SELECT pg_backend_pid()";
    let first: i32 = sqlx::query_scalar(pid).fetch_one(&mut one).await.unwrap();
    let second: i32 = sqlx::query_scalar(pid).fetch_one(&mut other).await.unwrap();
    assert_eq!(first, second);
    let mut transaction = one.begin().await.unwrap();
    let held: i32 = sqlx::query_scalar(pid).fetch_one(&mut *transaction).await.unwrap();
    let second: i32 = sqlx::query_scalar(pid).fetch_one(&mut other).await.unwrap();
    assert_ne!(held, second);
    transaction.rollback().await.unwrap();

    // A listener is told nothing, and is not refused. (Rung from a pooled connection, the bell would reach whoever has
    // the listener's server connection just then, as a message that its client does not expect.)
    let mut listener = PgListener::connect(&url).await.unwrap();
    listener.listen("door").await.unwrap();
    let mut direct = PgConnection::connect(&direct_url).await.unwrap();
    direct.execute("NOTIFY door").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(500), listener.recv()).await.is_err());

    // It finds the server again.
    postgres.kill().await;
    assert!(other.execute(pid).await.is_err(), "the pooler does not wait forever");
    postgres.start().await;
    testkit::eventually("the pooler serves again", Duration::from_secs(30), async || {
        match PgConnection::connect(&url).await {
            Ok(mut again) => again.execute(pid).await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    pooler.kill().await;
    assert!(PgConnection::connect(&url).await.is_err());
    pooler.start().await;
}

#[tokio::test]
async fn a_promoted_standby_has_what_was_replicated() {
    let pair = PostgresPair::own().await;
    let (url, standby_url) = pair.database().await;
    let mut primary = PgConnection::connect(&url).await.unwrap();
    primary.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    pair.replicated().await;

    let mut standby = PgConnection::connect(&standby_url).await.unwrap();
    let refused = standby.execute("INSERT INTO t VALUES (2)").await.expect_err("a standby is read-only");
    assert!(refused.to_string().contains("read-only"), "{refused}");

    // The standby is asynchronous: the primary commits while it hangs, and what it did not get is lost.
    pair.standby().pause().await;
    primary.execute("INSERT INTO t VALUES (3)").await.unwrap();
    pair.primary().kill().await;
    assert!(PgConnection::connect(&url).await.is_err());
    pair.standby().unpause().await;
    pair.promote().await;
    standby.execute("INSERT INTO t VALUES (4)").await.unwrap();
    let rows: Vec<i32> = sqlx::query_scalar("SELECT n FROM t ORDER BY n").fetch_all(&mut standby).await.unwrap();
    assert!(rows == [1, 4] || rows == [1, 3, 4], "{rows:?}");

    // It keeps its data and its port over a restart of its own.
    pair.standby().kill().await;
    pair.standby().start().await;
    let mut standby = PgConnection::connect(&standby_url).await.unwrap();
    let again: Vec<i32> = sqlx::query_scalar("SELECT n FROM t ORDER BY n").fetch_all(&mut standby).await.unwrap();
    assert_eq!(again, rows);
}
