//! Dead letters, what waits, and pauses, as they are worked with on a terminal: on Postgres, MySQL and SQLite.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Directory, RELAY, SOON, outbox, refused, works};
use outbox::sqlx::{Mysql, Postgres, Sqlite};
use outbox::{Batch, Message, Outcomes, Store, StoreRelay, Transport, TransportCapabilities, async_trait};
use sqlx::{MySqlPool, PgPool, SqlitePool};
use testkit::eventually;

/// Writes messages of key and text in one transaction.
macro_rules! shop {
    ($outbox:ident, $pool:ident) => {{
        let write = async |messages: &[(&str, &str)]| {
            let mut tx = $pool.begin().await.expect("a transaction");
            let messages = messages.iter().map(|(key, text)| Message::new("orders", "placed").key(key).text(*text));
            $outbox.enqueue_all(&mut tx, messages).await.expect("enqueued");
            $outbox.commit(tx).await.expect("committed");
        };
        (write, $outbox.store($pool.clone()))
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let url = testkit::Postgres::shared().await.database().await;
    works(&["migrate", "--url", &url]).await;
    let (outbox, pool) = (Postgres::new(), PgPool::connect(&url).await.expect("a database"));
    let (write, store) = shop!(outbox, pool);
    work(&url, write, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mysql() {
    let url = testkit::Mysql::mysql().await.database().await;
    works(&["migrate", "--url", &url]).await;
    let (outbox, pool) = (Mysql::new(), MySqlPool::connect(&url).await.expect("a database"));
    let (write, store) = shop!(outbox, pool);
    work(&url, write, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    let directory = Directory::new();
    let url = format!("sqlite:{}", directory.file("shop.db"));
    works(&["migrate", "--url", &url]).await;
    let (outbox, pool) = (Sqlite::new(), SqlitePool::connect(&url).await.expect("the file was made"));
    let (write, store) = shop!(outbox, pool);
    work(&url, write, store).await;
}

/// Refuses some texts, and keeps the others in the order in which they came.
#[derive(Debug, Clone, Default)]
struct Broker {
    refuses: Arc<Mutex<Vec<String>>>,
    stored: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Transport for Broker {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        for m in batch.iter() {
            let text = String::from_utf8_lossy(m.payload()).into_owned();
            if self.refuses.lock().unwrap().contains(&text) {
                out.reject(m, "Out of stock");
            } else {
                self.stored.lock().unwrap().push(text);
                out.delivered(m);
            }
        }
    }
}

impl Broker {
    fn refuse(&self, texts: &[&str]) {
        *self.refuses.lock().unwrap() = texts.iter().map(|text| (*text).to_owned()).collect();
    }

    fn stored(&self) -> Vec<String> {
        self.stored.lock().unwrap().clone()
    }
}

async fn work(url: &str, write: impl AsyncFn(&[(&str, &str)]), store: impl Store) {
    let broker = Broker::default();
    broker.refuse(&["a1", "a3", "b1"]);
    let (lease, deadline) = (Duration::from_secs(4), Duration::from_secs(1));
    let relay = StoreRelay::builder(RELAY, store, broker.clone()).lease(lease).publish_deadline(deadline);
    let relay = relay.build().expect("valid settings");
    let handle = outbox::Relay::handle(&relay);
    let running = tokio::spawn(async move { relay.run(std::future::pending()).await });
    write(&[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")]).await;
    eventually("three are given up", SOON, async || handle.stats().dead == 3).await;
    let with = |arguments: &[&str]| -> Vec<String> {
        arguments.iter().copied().chain(["--url", url]).map(str::to_owned).collect()
    };
    let run = async |arguments: &[&str]| {
        let arguments = with(arguments);
        works(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    eventually("they are on record", SOON, async || run(&["dead", "list"]).await.lines().count() == 3).await;
    let listed = run(&["dead", "list", "--key", "b", "--reason", "out of"]).await;
    assert!(listed.lines().count() == 1 && listed.contains("key b  attempts 1  Out of stock"), "{listed}");
    let listed = run(&["dead", "list", "--key", "a"]).await;
    assert!(listed.lines().count() == 2 && listed.lines().all(|line| line.contains("key a  attempts 1")), "{listed}");
    let id = listed.split_whitespace().nth(1).expect("an id");
    let shown = run(&["dead", "show", id]).await;
    for part in [id, RELAY, "orders", "placed", "Out of stock", "a1"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let arguments = with(&["dead", "replay"]);
    let unnamed = refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(unnamed.contains("--all"), "{unnamed}");

    broker.refuse(&[]);
    assert!(run(&["dead", "replay", "--key", "a"]).await.starts_with("2 dead letters"));
    eventually("they are delivered in order", SOON, async || {
        let of_key: Vec<String> = broker.stored().into_iter().filter(|text| text.starts_with('a')).collect();
        of_key == ["a2", "a1", "a3"]
    })
    .await;
    // Delivered is told before it is settled: until then they still wait, and the cursor may not have passed b1 for good.
    eventually("they are settled", SOON, async || run(&["waiting", RELAY]).await == "nothing waits").await;
    eventually("the cursor has passed the last one", SOON, async || {
        run(&["dead", "discard", "--all"]).await.starts_with("1 dead letters")
    })
    .await;
    assert_eq!(run(&["dead", "list"]).await, "no dead letters");

    assert_eq!(run(&["pause", RELAY, "--key", "a"]).await, format!("key a of {RELAY} is paused: its messages wait"));
    eventually("the relay sees it", SOON, async || {
        write(&[("a", "a4")]).await;
        run(&["waiting", RELAY]).await.contains("key a  attempts 0")
    })
    .await;
    let waiting = run(&["waiting", RELAY]).await;
    let given_up = waiting.split_whitespace().next().expect("an id");
    assert_eq!(run(&["give-up", RELAY, given_up]).await, format!("{given_up} is a dead letter"));
    assert!(run(&["status"]).await.contains(&format!("key a of {RELAY} is paused since")));
    run(&["resume", RELAY, "--key", "a"]).await;
    run(&["pause", RELAY]).await;
    eventually("nothing runs", SOON, async || !handle.stats().active).await;
    write(&[("d", "d1")]).await;
    assert!(!broker.stored().contains(&"d1".to_owned()));
    run(&["resume", RELAY]).await;
    eventually("it goes on", SOON, async || broker.stored().contains(&"d1".to_owned())).await;
    assert!(run(&["retry", RELAY]).await.ends_with("messages have all their attempts again"));
    let arguments = with(&["pause", "nobody"]);
    let (status, said) = outbox(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(!status.success() && said.contains("outbox status"), "{said}");
    running.abort();
}
