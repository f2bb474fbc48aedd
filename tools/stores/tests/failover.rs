//! The primary of a Postgres pair dies under load, and its standby, which lacks the latest commits, is promoted. The
//! relay processes live on.

use std::collections::HashSet;

use sqlx::{Connection, Executor, PgConnection};
use stores::{Load, PgSite, Site, Stage, turn};
use testkit::{PostgresPair, Proxy};

const RELAY: &str = env!("CARGO_BIN_EXE_stores-relay");

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_the_new_primary_is_delivered() {
    let _turn = turn().await;
    let pair = PostgresPair::own().await;
    let (primary, standby) = pair.database().await;
    let address = |port: u16| format!("127.0.0.1:{port}");
    let proxy = Proxy::start(address(pair.primary().port())).await.expect("a proxy");
    let port = proxy.addr().port();
    let through = primary.replace(&format!(":{}/", pair.primary().port()), &format!(":{port}/"));
    assert_ne!(through, primary);
    let site = PgSite::new(through, 16).await.expect("the tables");
    pair.replicated().await;

    let load = Load { messages: 6_000, writers: 12, seed: rand::random(), faults: true, ..Load::default() };
    let mut stage = Stage::start(RELAY, site.url(), None).await;
    let writing = load.spawn(&site, &stage.ledger);
    let so_far = stage.wait_for(load.messages / 3).await;
    // From here on the standby misses what is committed, and what the relay settles.
    let mut follower = PgConnection::connect(&standby).await.expect("the standby");
    follower.execute("alter system set primary_conninfo = ''").await.expect("set");
    follower.execute("select pg_reload_conf()").await.expect("reloaded");
    testkit::eventually("the standby is cut off", std::time::Duration::from_secs(20), async || {
        let receivers = sqlx::query_scalar("select count(*) from pg_stat_wal_receiver");
        let mut conn = PgConnection::connect(&standby).await.expect("the standby");
        receivers.fetch_one(&mut conn).await.is_ok_and(|n: i64| n == 0)
    })
    .await;
    stage.wait_for(so_far + load.messages / 6).await;
    pair.primary().kill().await;
    drop(proxy);
    pair.promote().await;
    let _proxy = Proxy::start_on(port, address(pair.standby().port())).await.expect("the same address");

    let written = writing.await.expect("the writers");
    let mut new = PgConnection::connect(&standby).await.expect("the new primary");
    let kept = sqlx::query_scalar::<_, String>("select id::text from outbox_message").fetch_all(&mut new).await;
    let kept: HashSet<String> = kept.expect("the messages").into_iter().collect();
    // What the new primary does not have was committed, and is gone.
    let gone: Vec<_> = written.ids.difference(&kept).collect();
    gone.iter().for_each(|id| stage.ledger.undone(id));
    let missing = stage.wait_for_all(&kept).await;
    let ended = stage.end().await;
    println!(
        "{}: {} messages, {} of them lost by the failover; of {} on the new primary {missing} were not delivered; {} \
         failed transactions\n{}",
        site.version().await.unwrap(),
        written.ids.len(),
        gone.len(),
        kept.len(),
        written.failed.0,
        ended.verdict
    );
    assert!(!gone.is_empty(), "the failover lost nothing, so nothing was shown");
    assert_eq!(missing, 0, "messages of the new primary were not delivered");
    ended.assert_clean(1);
}
