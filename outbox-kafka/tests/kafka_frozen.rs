//! A broker that is frozen beyond all deadlines. Alone in its process, which it counts the clients and the memory of.

mod relayed;

use testkit::{Kafka, eventually};

/// Each client of librdkafka has one thread of this name.
fn clients() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").expect("procfs");
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "rdk:main").count()
}

/// Resident memory, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number") * 1024
}

/// A client is thrown away at each deadline, with all that it holds.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_frozen_broker_do_not_pile_up_and_it_goes_on_by_itself() {
    let kafka = Kafka::own().await;
    let topic = kafka.topic("frozen", 2).await;
    let mut relay = relayed::start(&kafka);
    relay.commit(&topic, 10, 100);
    relay.delivered().await;
    eventually("one client is left", std::time::Duration::from_secs(10), async || clients() == 1).await;
    kafka.pause().await;
    // 20 MB, which each client would hold.
    relay.commit(&topic, 200, 10_000);
    relay.tried(3).await;
    let (before, mut most) = (memory(), 0);
    for _ in 0..9 {
        relay.tried(1).await;
        most = most.max(clients());
    }
    let grown = memory().saturating_sub(before);
    println!("twelve deadlines: at most {most} clients at a time, {} MiB more", grown >> 20);
    assert!(most <= 3, "{most} clients of a frozen broker");
    assert!(grown < 64 << 20, "{grown} bytes more after nine more deadlines");
    relay.assert_nothing_was_given_up(0);
    kafka.unpause().await;
    relay.delivered().await;
    relay.assert_nothing_was_given_up(0);
    relayed::end(relay, &kafka, &topic, 20_000).await;
}
