//! What is kept is delivered again under a new name, and a name is forgotten, as it is done on a terminal.

mod common;

use common::shop::Shop;
use common::{Config, RELAY, SOON, refused, terminate, works};
use outbox::Message;
use testkit::eventually;

const AGAIN: &str = "orders-to-kafka-replay";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_made_run_and_forgotten() {
    let shop = Shop::open().await;
    let config = shop.config(&format!("topics = [\"{}\"]", shop.topic));
    let file = ["--config", config.path()];
    shop.write(0..30).await;
    shop.enqueue(vec![Message::new("elsewhere", "e").key("k3")]).await;
    let mut relay = config.active_relay().await;
    shop.drained().await;

    let said = refused(&["relay", "drop", RELAY, file[0], file[1]]).await;
    assert!(said.contains("stop it first") && said.contains("--force"), "{said}");
    let said = refused(&["replay", "nobody", "--from", "2026-11-01", file[0], file[1]]).await;
    assert!(said.contains("no relay named \"nobody\"") && said.contains("outbox status"), "{said}");
    let said = refused(&["replay", RELAY, "--as", RELAY, file[0], file[1]]).await;
    assert!(said.contains("there already"), "{said}");
    let (status, said) = common::outbox(&["replay", RELAY, "--from", "yesterday", file[0], file[1]]).await;
    assert!(!status.success() && said.contains("2026-11-01 (UTC)"), "{said}");

    // Word for word as in the guide: the topics are those of the relay.
    let said = works(&["replay", RELAY, "--from", "2026-11-01", "--key", "k3", file[0], file[1]]).await;
    assert!(said.contains(&format!("{AGAIN} is there and covers 3 messages")), "{said}");
    assert!(said.contains(&format!("name = \"{AGAIN}\"")) && said.contains(&format!("relay drop {AGAIN}")), "{said}");
    let row = async || {
        let said = works(&["status", file[0], file[1]]).await;
        let row = said.lines().find(|line| line.starts_with(AGAIN)).map(str::to_owned);
        (said.lines().next().unwrap_or_default().to_owned(), row.unwrap_or_default())
    };
    let (header, line) = row().await;
    assert!(header.contains("  LAST SETTLED ") && header.ends_with("  REPLAYS"), "{header}");
    assert!(line.ends_with(&format!("from 2026-11-01T00:00:00Z of {} with key k3", shop.topic)), "{line}");
    assert_eq!(line.split_whitespace().nth(4), Some("3"), "{line}");

    let text = std::fs::read_to_string(config.path()).expect("the file").replace(RELAY, AGAIN);
    let other = Config::new(&text);
    let mut again = other.active_relay().await;
    eventually("it is through", SOON, async || row().await.1.split_whitespace().nth(4) == Some("0")).await;
    let records = shop.records().await;
    let of_key = records.iter().filter(|r| r.key() == Some("k3")).count();
    assert_eq!((records.len(), of_key), (33, 6), "three came twice");
    terminate(&mut again).await;
    assert_eq!(works(&["relay", "drop", AGAIN, file[0], file[1]]).await, format!("{AGAIN} is forgotten"));
    assert_eq!(row().await.1, "");
    terminate(&mut relay).await;
}
