//! The quickstart, as a newcomer runs it: it ends by itself, and its events are where it says.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::time::Duration;

use testkit::{Kafka, Process};

const SOON: Duration = Duration::from_secs(90);

/// Runs it to its end. Gives what it printed.
async fn quickstart(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    let mut process = Process::spawn({
        command.args(arguments);
        command
    });
    let status = process.wait(SOON).await;
    assert!(status.success(), "quickstart {arguments:?}: {status}\n{}", process.output());
    process.output()
}

/// The last figures: committed, delivered, lost, twice.
fn figures(said: &str) -> [u32; 4] {
    let summary = said.lines().find(|line| line.contains("events delivered")).expect("a summary");
    let numbers: Vec<u32> = summary.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{summary}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_it_ends_by_itself_and_loses_nothing() {
    let said = quickstart(&[]).await;
    assert!(said.contains("30 orders placed, 3 rolled back, 27 committed"), "{said}");
    assert_eq!(figures(&said), [27, 27, 0, 0], "{said}");

    let said = quickstart(&["--crash"]).await;
    assert!(said.contains("the relay was killed (SIGKILL)"), "{said}");
    let [committed, delivered, lost, twice] = figures(&said);
    assert_eq!([committed, delivered, lost], [27, 27, 0], "{said}");
    // Whether the last settlement came before the kill is chance; only what the first relay had sent can come twice.
    let sent = said.split_once("(SIGKILL) after ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(twice <= sent.expect("how many"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_event_is_in_kafka_as_kcat_reads_it() {
    let kafka = Kafka::own().await;
    kafka.create("orders", 3, &[]).await;
    let said = quickstart(&["--kafka", kafka.bootstrap()]).await;
    assert_eq!(figures(&said), [27, 27, 0, 0], "{said}");

    let read = ["-C", "-e", "-q", "-b", kafka.bootstrap(), "-t", "orders", "-f", "%k|%h|%s\n"];
    // Its stdout alone: what it logs has the same separators.
    let kcat = tokio::time::timeout(SOON, tokio::process::Command::new("kcat").args(read).output()).await;
    let kcat = kcat.expect("kcat ends in time").expect("kcat runs");
    assert!(kcat.status.success(), "{kcat:?}");
    let read = String::from_utf8(kcat.stdout).expect("text");
    let (mut ids, mut last) = (HashSet::new(), HashMap::<String, u64>::new());
    for line in read.lines() {
        let [key, headers, payload] = line.splitn(3, '|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let headers: HashMap<&str, &str> = headers.split(',').filter_map(|header| header.split_once('=')).collect();
        assert_eq!((headers["event-type"], headers["content-type"]), ("order.created", "application/json"));
        assert!(said.contains(headers["message-id"]), "{line} was not announced");
        ids.insert(headers["message-id"].to_owned());
        let order = payload.strip_prefix("{\"order_id\":").and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
        let order = order.unwrap_or_else(|| panic!("{line}"));
        assert_eq!(key, format!("customer-{}", order % 5));
        assert_eq!(payload, format!("{{\"order_id\":{order},\"customer\":\"{key}\"}}"));
        assert_ne!(order % 10, 0, "the tenth orders were rolled back");
        assert!(last.insert(key.to_owned(), order).is_none_or(|before| before < order), "{key} is out of order");
    }
    assert_eq!(ids.len(), 27, "{read}");

    let said = quickstart(&["--crash", "--kafka", kafka.bootstrap()]).await;
    assert_eq!(figures(&said)[..3], [27, 27, 0], "{said}");
    let all = kafka.consume("orders").await;
    let distinct: HashSet<_> = all.iter().filter_map(|r| r.header("message-id")).collect();
    assert_eq!(distinct.len(), 54, "the events of both runs");
}
