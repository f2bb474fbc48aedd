//! Servers that are not there yet, and relay processes that come and go: the others wait, and nothing is lost.

mod common;

use std::time::{Duration, Instant};

use common::shop::{Shop, at};
use common::{Config, SOON, terminate};
use testkit::{Proxy, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_waits_for_a_kafka_that_is_not_there_yet() {
    let shop = Shop::open().await;
    let proxy = Proxy::start(shop.kafka.bootstrap()).await.expect("a free port");
    proxy.refuse();
    shop.write(0..100).await;
    let config =
        Config::relay_of(&shop.url, &proxy.addr().to_string(), "lease_seconds = 6\npublish_deadline_seconds = 3");
    let mut relay = config.active_relay().await;
    relay.wait_line("the transport does not answer", SOON).await;
    // For a while: the log tells of each publish that was not answered.
    let tries = || relay.output().matches("did not answer").count();
    eventually("some probes failed", SOON, async || tries() >= 4).await;
    let spent = "select (count(*) + coalesce(max(retry_count), 0))::text from outbox where retry_count > 0";
    assert_eq!(shop.text(spent).await.as_deref(), Some("0"));
    assert_eq!(shop.text("select count(*)::text from outbox_parked").await.as_deref(), Some("0"));
    proxy.heal();
    let healed = Instant::now();
    shop.drained().await;
    println!("drained {:.1?} after Kafka came", healed.elapsed());
    relay.wait_line("Recovered", SOON).await;
    terminate(&mut relay).await;
    assert_eq!(shop.text(spent).await.as_deref(), Some("0"));
    shop.verdict().await.assert_clean(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_waits_for_a_database_that_is_not_there_yet() {
    let shop = Shop::open().await;
    let server = shop.url.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("host and port");
    let proxy = Proxy::start(server).await.expect("a free port");
    proxy.refuse();
    shop.write(0..100).await;
    let config = Config::relay_of(&at(&shop.url, &proxy.addr().to_string()), shop.kafka.bootstrap(), "");
    let mut relay = config.relay();
    relay.wait_line("the database is not available", SOON).await;
    proxy.heal();
    let healed = Instant::now();
    shop.drained().await;
    println!("drained {:.1?} after the database came", healed.elapsed());
    terminate(&mut relay).await;
    shop.verdict().await.assert_clean(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_takes_over_at_once_after_sigterm() {
    let shop = Shop::open().await;
    // A long lease: a successor that waited for it would be late.
    let config = shop.config("lease_seconds = 60");
    let mut first = config.active_relay().await;
    let mut second = config.relay();
    second.wait_line("Standby", SOON).await;
    assert!(!second.output().contains("Acquired"));
    // It is told to stop in the middle of its work.
    for start in (0..20_000).step_by(1_000) {
        shop.write(start..start + 1_000).await;
    }
    terminate(&mut first).await;
    let ended = Instant::now();
    second.wait_line("Acquired", SOON).await;
    let took = ended.elapsed();
    println!("taken over {took:.1?} after the end of the first");
    assert!(took < Duration::from_secs(10), "{took:?} of a lease of 60 s");
    shop.drained().await;
    terminate(&mut second).await;
    // An orderly end is no fault, so nothing comes twice.
    let verdict = shop.verdict().await;
    assert_eq!(verdict.committed, 20_000);
    verdict.assert_clean(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_takes_over_within_the_lease_after_sigkill() {
    let shop = Shop::open().await;
    let config = shop.config("lease_seconds = 6\npublish_deadline_seconds = 2\nbatch = 100\nwindow_messages = 500");
    let mut first = config.active_relay().await;
    let mut second = config.relay();
    second.wait_line("Standby", SOON).await;
    for start in (0..5_000).step_by(500) {
        shop.write(start..start + 500).await;
    }
    first.kill9();
    let killed = Instant::now();
    first.wait(SOON).await;
    second.wait_line("Acquired", SOON).await;
    let took = killed.elapsed();
    println!("taken over {took:.1?} after SIGKILL");
    // It was renewed at most a third of the lease ago, and is looked at once a second.
    assert!((Duration::from_secs(2)..Duration::from_secs(20)).contains(&took), "{took:?} of a lease of 6 s");
    shop.drained().await;
    terminate(&mut second).await;
    let verdict = shop.verdict().await;
    println!("{verdict}");
    assert_eq!(verdict.committed, 5_000);
    verdict.assert_clean(500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_and_the_successor_goes_on() {
    let shop = Shop::open().await;
    let config = shop.config("lease_seconds = 60\nbatch = 50\nwindow_messages = 200");
    for start in (0..20_000).step_by(1_000) {
        shop.write(start..start + 1_000).await;
    }
    let mut ends = 0;
    // Told to stop as soon as each has begun, until all is delivered.
    while ends < 3 || !shop.is_drained().await {
        let mut relay = config.active_relay().await;
        if ends < 3 {
            let moved = "select position::text from outbox_relay";
            let before = shop.text(moved).await;
            eventually("it works", SOON, async || shop.is_drained().await || shop.text(moved).await != before).await;
        } else {
            shop.drained().await;
        }
        terminate(&mut relay).await;
        ends += 1;
    }
    let verdict = shop.verdict().await;
    println!("{ends} processes\n{verdict}");
    verdict.assert_clean(0);
}
