//! What every relay name has settled is deleted when it is old enough, and nothing else.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

mod both;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use both::{SOON, Shop, numbers, on_both, tags};
use outbox_core::admin::DeadLetterFilter;
use outbox_core::memory::MemoryTransport;
use outbox_core::{AcquireRequest, Acquired, FetchLimits, Message, Relay, Settlement, Store, StoreRelay, transport};
use testkit::eventually;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
const OLD: &str = "update outbox_message set created_at = created_at - ";

on_both!(
    only_what_every_name_has_settled_goes,
    a_row_out_of_the_topics_goes_when_the_cursor_has_passed_it,
    what_is_in_flight_stays,
    what_is_parked_stays,
    a_running_relay_deletes_by_itself,
    when_kept_messages_were_published_stays,
);

/// Makes messages ten days old.
async fn age<S: Shop>(shop: &S, which: &str) {
    // Microseconds on SQLite, a time on Postgres.
    let postgres = shop.migrations()[0].contains("timestamptz");
    let days = if postgres { "interval '10 days'" } else { "864000000000" };
    shop.run(&format!("{OLD}{days} where {which}")).await;
}

async fn only_what_every_name_has_settled_goes<S: Shop>() {
    let shop = S::open().await;
    shop.numbered("t", 1..=3).await;
    age(&shop, "1 = 1").await;
    assert_eq!(shop.retain(Duration::ZERO).await, 0, "without a relay name nothing is settled");
    let (a, b) = (MemoryTransport::new(), MemoryTransport::new());
    shop.relay("a", &a).until_drained(SOON).await.unwrap();
    shop.relay("b", &b).until_drained(SOON).await.unwrap();
    shop.numbered("t", 4..=6).await;
    shop.relay("a", &a).until_drained(SOON).await.unwrap();
    age(&shop, "event_type in ('1', '3', '5')").await;
    assert_eq!(shop.retain(WEEK).await, 3, "1, 2, 3 are old and settled by both");
    assert_eq!(shop.kept().await, ["4", "5", "6"], "b has not settled 5");
    tags(&b);
    shop.relay("b", &b).until_drained(SOON).await.unwrap();
    assert_eq!(tags(&b), ["4", "5", "6"]);
    assert_eq!((shop.retain(WEEK).await, shop.kept().await), (1, vec!["4".into(), "6".into()]), "the young stay");
    assert_eq!((shop.retain(Duration::ZERO).await, shop.kept().await.len()), (2, 0));
    // What comes next goes on as ever.
    shop.numbered("t", 7..=7).await;
    for to in [&a, &b] {
        tags(to);
    }
    shop.relay("a", &a).until_drained(SOON).await.unwrap();
    shop.relay("b", &b).until_drained(SOON).await.unwrap();
    assert_eq!((tags(&a), tags(&b)), (numbers(7..=7), numbers(7..=7)));
}

async fn a_row_out_of_the_topics_goes_when_the_cursor_has_passed_it<S: Shop>() {
    let shop = S::open().await;
    let to = MemoryTransport::new();
    let relay = StoreRelay::builder("orders", shop.store(), to.clone()).topics(["order.*"]).build().unwrap();
    for (topic, n) in [("invoices", 1), ("invoices", 2), ("order.paid", 3), ("invoices", 4), ("order.paid", 5)] {
        shop.numbered(topic, n..=n).await;
    }
    relay.until_drained(SOON).await.unwrap();
    shop.numbered("invoices", 6..=6).await;
    assert_eq!(tags(&to), ["3", "5"]);
    assert_eq!(shop.retain(Duration::ZERO).await, 5);
    assert_eq!(shop.kept().await, ["6"], "nobody has passed it yet");
}

async fn what_is_in_flight_stays<S: Shop>() {
    let shop = S::open().await;
    shop.numbered("t", 1..=12).await;
    let store = shop.store();
    shop.relay("a", &MemoryTransport::new()).until_drained(SOON).await.unwrap();
    let Ok(Acquired::Yes(lease, _)) = store.acquire(&AcquireRequest::new("b", 7)).await else { panic!("it is free") };
    assert_eq!(store.fetch(&lease, FetchLimits { messages: 10 }).await.unwrap().len(), 10);
    let delivered = [1, 2, 4, 5, 8].into_iter().collect();
    store.settle(&lease, &Settlement { delivered, ..Settlement::default() }).await.unwrap();
    assert_eq!(shop.retain(Duration::ZERO).await, 5);
    assert_eq!(shop.kept().await, numbers([3, 6, 7, 9, 10, 11, 12]));
    // The successor of a process that is gone has all of it.
    drop(store);
    shop.run("update outbox_relay set owner = null").await;
    let to = MemoryTransport::new();
    shop.relay("b", &to).until_drained(SOON).await.unwrap();
    let mut came: Vec<i64> = tags(&to).iter().map(|tag| tag.parse().unwrap()).collect();
    came.sort_unstable();
    assert_eq!(came, [3, 6, 7, 9, 10, 11, 12]);
}

async fn what_is_parked_stays<S: Shop>() {
    let shop = S::open().await;
    shop.numbered("t", 1..=9).await;
    // Every message of key 2 fails, and is retried later than this test lasts.
    let refusing = transport::from_fn(|m: outbox_core::MessageRef<'_>| {
        let refused = m.key() == Some("2");
        async move { if refused { Err("refused".into()) } else { Ok::<(), outbox_core::BoxError>(()) } }
    });
    let retry = Duration::from_secs(600);
    let relay = StoreRelay::builder("a", shop.store(), refusing).retry(retry, retry).build().unwrap();
    let running = tokio::spawn(async move { relay.run(std::future::pending()).await });
    eventually("the rest is settled", SOON, || async {
        shop.status().await.unwrap().first().is_some_and(|r| (r.position, r.parked, r.waiting) == (9, 3, 0))
    })
    .await;
    assert_eq!(shop.retain(Duration::ZERO).await, 6);
    assert_eq!(shop.kept().await, ["2", "5", "8"]);
    running.abort();
    _ = running.await;
    shop.run("update outbox_relay set owner = null").await;
    let to = MemoryTransport::new();
    let due = if shop.migrations()[0].contains("timestamptz") { "now()" } else { "0" };
    shop.run(&format!("update outbox_parked set next_attempt_at = {due}")).await;
    let relay = shop.relay("a", &to);
    eventually("the parked ones are delivered", SOON, || async {
        relay.until_drained(SOON).await.unwrap();
        shop.count("outbox_parked").await == 0
    })
    .await;
    assert_eq!(tags(&to), ["2", "5", "8"]);
    assert_eq!(shop.retain(Duration::ZERO).await, 3);
}

async fn a_running_relay_deletes_by_itself<S: Shop>() {
    let shop = S::open().await;
    let to = MemoryTransport::new();
    let store = shop.keeping(Duration::from_millis(300));
    let relay = StoreRelay::builder("a", store, to.clone()).build().unwrap();
    let handle = relay.handle();
    let running = tokio::spawn(async move { relay.run(std::future::pending()).await });
    for round in 0..3 {
        for i in 0..15 {
            shop.numbered("t", i * 200 + 1..=i * 200 + 200).await;
        }
        eventually("all is delivered and deleted", SOON, || async {
            handle.stats().delivered == (round + 1) * 3_000 && shop.count("outbox_message").await == 0
        })
        .await;
    }
    assert!(shop.count("outbox_progress").await <= 3, "and so is what no message needs");
    running.abort();
    _ = running.await;
    shop.run("update outbox_relay set owner = null").await;
    shop.run("insert into outbox_relay (relay) values ('behind')").await;
    shop.numbered("t", 1..=10).await;
    shop.relay("a", &to).until_drained(SOON).await.unwrap();
    assert_eq!(shop.retain(Duration::ZERO).await, 0, "a name that is behind keeps what it has not settled");
}

async fn when_kept_messages_were_published_stays<S: Shop>() {
    let shop = S::open().await;
    let to = MemoryTransport::new();
    for i in 0..5 {
        shop.numbered("t", i * 10 + 1..=i * 10 + 10).await;
        shop.relay("a", &to).until_drained(SOON).await.unwrap();
        if i != 2 {
            shop.relay("b", &to).until_drained(SOON).await.unwrap();
        }
    }
    age(&shop, "seq <= 20 or seq between 25 and 28").await;
    let view = "select cast(id as text) || cast(published_at as text) from outbox \
        where event_type not in ('25', '26', '27', '28') and length(event_type) = 2 and event_type > '20' order by id";
    let before = shop.texts(view).await;
    assert!(before.len() == 26 && before.iter().all(Option::is_some), "{before:?}");
    assert_eq!(shop.retain(WEEK).await, 24);
    assert_eq!(shop.texts(view).await, before);
    let left = shop.texts("select cast(position as text) from outbox_progress order by position").await;
    let left: Vec<i64> = left.iter().flatten().map(|text| text.parse().unwrap()).collect();
    assert!(left.len() >= 5 && left.iter().all(|position| *position > 20), "no message is left up to 20: {left:?}");
    shop.retain(Duration::ZERO).await;
    assert_eq!(shop.count("outbox_progress").await, 2, "the latest of each name stays");
}

/// What was logged, as text.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// On one thread, so that what is logged is logged here.
#[tokio::test]
async fn a_name_that_nobody_runs_is_warned_of() {
    let shop = both::OnPostgres::open().await;
    let said = Said::default();
    let writer = said.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    shop.run("insert into outbox_relay (relay, position, floor) values ('gone', 5, 5), ('near', 1000, 1000)").await;
    // One that ends is not behind with what it does not cover.
    shop.run("insert into outbox_relay (relay, position, floor, replay) values ('done', 7, 7, '{\"until\": 7}')").await;
    shop.run("select setval('outbox_message_seq_seq', 1000900)").await;
    shop.write(vec![Message::new("t", "e")]).await;
    let store = shop.keeping(Duration::from_millis(1));
    let relay = StoreRelay::builder("a", store, MemoryTransport::new()).build().unwrap();
    let running = tokio::spawn(async move { relay.run(std::future::pending()).await });
    let warned = || async { String::from_utf8_lossy(&said.0.lock().unwrap()).contains("outbox relay drop gone") };
    eventually("it is warned", SOON, warned).await;
    running.abort();
    let said = String::from_utf8_lossy(&said.0.lock().unwrap()).into_owned();
    assert!(said.contains("behind=1000896") && !said.contains("drop near") && !said.contains("drop done"), "{said}");
    assert_eq!(said.matches("outbox relay drop").count(), 1, "once an hour: {said}");
}

/// The replay found the message where it was, and is not committed: whoever deletes it now cannot know.
#[tokio::test]
async fn a_message_that_is_put_back_is_not_deleted_meanwhile() {
    let shop = both::OnPostgres::open().await;
    shop.numbered("t", 1..=3).await;
    let to = MemoryTransport::new();
    shop.relay("a", &to).until_drained(SOON).await.unwrap();
    assert_eq!(tags(&to), ["1", "2", "3"]);
    shop.run(
        "insert into outbox_dead_letter (relay, seq, id, topic, key, event_type, payload, created_at, reason, attempts) \
         select 'a', seq, id, topic, key, event_type, payload, created_at, 'no', 1 from outbox_message where seq = 2",
    )
    .await;
    // The replay stops where it parks the message.
    let mut stops = shop.1.begin().await.unwrap();
    let parked =
        "insert into outbox_parked (relay, seq, key, attempts, next_attempt_at) values ('a', 2, '2', 0, now())";
    sqlx::query(parked).execute(&mut *stops).await.unwrap();
    let desk = shop.store().admin().expect("a desk");
    let replay = tokio::spawn(async move { desk.replay(&DeadLetterFilter::default(), None).await });
    let waiting = || async {
        let waits = "select 'x' from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        shop.texts(waits).await.len()
    };
    eventually("the replay waits", SOON, || async { waiting().await == 1 }).await;
    let retain = tokio::spawn({
        let shop = shop.clone();
        async move { shop.retain(Duration::ZERO).await }
    });
    let over = || async { retain.is_finished() || waiting().await == 2 };
    eventually("retention waits for it", SOON, over).await;
    stops.rollback().await.unwrap();
    assert_eq!(replay.await.unwrap().expect("replayed"), 1);
    assert_eq!(retain.await.unwrap(), 2, "what is parked again is kept");
    shop.relay("a", &to).until_drained(SOON).await.unwrap();
    assert_eq!(tags(&to), ["2"]);
}
