//! What is kept can be delivered again under a new relay name: by time, topic and key, through restarts.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

mod both;

use std::time::{Duration, SystemTime};

use both::{OnPostgres, SOON, Shop, on_both, tags};
use outbox_core::memory::MemoryTransport;
use outbox_core::{
    AcquireRequest, Acquired, Batch, DeadLetter, FetchLimits, Lease, Message, ParkedMessage, Relay, Settlement, Store,
    StoreErrorKind,
};
use outbox_sqlx::Replay;

on_both!(
    what_is_covered_comes_again_and_nothing_else,
    it_goes_on_where_it_was_after_a_crash,
    without_an_end_it_goes_on_with_what_is_enqueued,
    one_that_has_an_end_pins_nothing_behind_it,
    what_cannot_be_is_refused,
    a_name_is_forgotten_only_when_nobody_runs_it,
);

/// Hours before now.
fn ago(hours: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(hours * 3_600)
}

/// 1 to 30, of which each was written an hour before the next one, half an hour past: 30 is half an hour old. The
/// topics are `orders`, `order.paid` and `other` in turn, the keys 0, 1 and 2 by fives.
async fn delivered<S: Shop>() -> S {
    let shop = S::open().await;
    let topics = ["orders", "order.paid", "other"];
    let message = |n: i64| Message::new(topics[usize::try_from(n % 3).unwrap()], n.to_string()).key(n / 5 % 3);
    shop.write((1..=30).map(message).collect()).await;
    let postgres = shop.migrations()[0].contains("timestamptz");
    let minutes = if postgres { "interval '1 minute'" } else { "60000000" };
    shop.run(&format!("update outbox_message set created_at = created_at - ((30 - seq) * 60 + 30) * {minutes}")).await;
    shop.relay("first", &MemoryTransport::new()).until_drained(SOON).await.unwrap();
    shop
}

async fn published<S: Shop>(shop: &S) -> Vec<Option<String>> {
    shop.texts("select cast(published_at as text) from outbox order by id").await
}

/// These came, once each, and in order per key.
fn in_order(to: &MemoryTransport, expected: Vec<i64>, name: &str) {
    let came: Vec<(Option<String>, i64)> =
        to.take().iter().map(|m| (m.key().map(str::to_owned), m.event_type().parse().expect("a number"))).collect();
    for (key, _) in &came {
        assert!(came.iter().filter(|m| m.0 == *key).is_sorted_by_key(|m| m.1), "{name}: {came:?}");
    }
    let mut numbers: Vec<i64> = came.into_iter().map(|m| m.1).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, expected, "{name}");
}

async fn what_is_covered_comes_again_and_nothing_else<S: Shop>() {
    let shop = delivered::<S>().await;
    let before = published(&shop).await;
    assert!(before.iter().all(Option::is_some));
    let cases: [(Replay, Vec<i64>); 6] = [
        (Replay::new("all"), (1..=30).collect()),
        (Replay::new("from").from(ago(10)), (21..=30).collect()),
        (Replay::new("to").to(ago(25)), (1..=5).collect()),
        (Replay::new("between").from(ago(10)).to(ago(5)), (21..=25).collect()),
        (Replay::new("topics").topics(["order.*", "orders"]).unwrap().from(ago(9)), vec![22, 24, 25, 27, 28, 30]),
        (Replay::new("key").key(1), vec![5, 6, 7, 8, 9, 20, 21, 22, 23, 24]),
    ];
    for (replay, expected) in cases {
        let name = replay.relay().to_owned();
        let covered = shop.replay(replay).await.unwrap();
        assert_eq!(covered, expected.len() as u64, "{name}");
        let waiting = shop.status().await.unwrap().into_iter().find(|r| r.relay == name).expect("it is there").waiting;
        assert_eq!(waiting, expected.len() as i64, "{name}");
        assert_eq!(published(&shop).await, before, "{name}: others have published them");
        let to = MemoryTransport::new();
        assert_eq!(shop.relay(&name, &to).until_drained(SOON).await.unwrap(), covered, "{name}");
        in_order(&to, expected, &name);
        assert_eq!(shop.relay(&name, &to).until_drained(SOON).await.unwrap(), 0, "{name}: once");
        assert_eq!(published(&shop).await, before, "{name}");
    }
    let status = shop.status().await.unwrap();
    assert_eq!(status.iter().filter(|r| r.replay.is_some()).count(), 6);
    let topics = status.iter().find(|r| r.relay == "topics").and_then(|r| r.replay.clone()).expect("a replay");
    assert_eq!(topics.covered_topics().patterns(), ["order.*", "orders"]);
    assert!(topics.starts_at().is_some_and(|at| at < ago(8)) && topics.ends_at().is_none());
}

async fn acquire<S: Shop>(shop: &S) -> (impl Store, Lease, Vec<ParkedMessage>) {
    let store = shop.store();
    match store.acquire(&AcquireRequest::new("again", 7)).await.expect("a database") {
        Acquired::Yes(lease, parked) => (store, lease, parked),
        Acquired::Held(left) => panic!("held for {left:?}"),
    }
}

fn seqs(batch: &Batch) -> Vec<i64> {
    batch.iter().map(|m| m.seq()).collect()
}

async fn it_goes_on_where_it_was_after_a_crash<S: Shop>() {
    let shop = delivered::<S>().await;
    shop.replay(Replay::new("again").from(ago(28)).key(1)).await.unwrap();
    let expected = [5, 6, 7, 8, 9, 20, 21, 22, 23, 24];
    // The process is gone without a word after each of these.
    let (store, lease, _) = acquire(&shop).await;
    assert_eq!(seqs(&store.fetch(&lease, FetchLimits { messages: 8 }).await.unwrap()), expected[..5]);
    let mut settlement = Settlement { delivered: [5, 6].into_iter().collect(), ..Settlement::default() };
    let due_in = Duration::from_secs(600);
    settlement.parked = vec![ParkedMessage { seq: 8, key: None, attempts: 1, due_in, last_error: None }];
    settlement.dead = vec![DeadLetter { seq: 9, reason: "refused".into(), attempts: 3 }];
    store.settle(&lease, &settlement).await.unwrap();
    drop(store);
    let (store, lease, parked) = acquire(&shop).await;
    assert_eq!(parked.iter().map(|p| p.seq).collect::<Vec<_>>(), [8]);
    assert_eq!(seqs(&store.fetch(&lease, FetchLimits { messages: 3 }).await.unwrap()), [7]);
    drop(store);
    let (store, lease, _) = acquire(&shop).await;
    let mut seen = Vec::new();
    loop {
        let batch = store.fetch(&lease, FetchLimits { messages: 3 }).await.unwrap();
        if batch.is_empty() {
            break;
        }
        seen.extend(seqs(&batch));
    }
    assert_eq!(seen, [7, 20, 21, 22, 23, 24]);
    drop(store);
    shop.numbered("other", 31..=40).await;
    let (store, lease, _) = acquire(&shop).await;
    let mut seen = Vec::new();
    loop {
        let batch = store.fetch(&lease, FetchLimits { messages: 100 }).await.unwrap();
        if batch.is_empty() {
            break;
        }
        seen.extend(seqs(&batch));
    }
    assert_eq!(seen, [7, 20, 21, 22, 23, 24, 31, 34, 37, 40], "and what was enqueued since then, of key 1");
}

async fn without_an_end_it_goes_on_with_what_is_enqueued<S: Shop>() {
    let shop = delivered::<S>().await;
    let to = MemoryTransport::new();
    let later = SystemTime::now() - Duration::from_secs(60);
    assert_eq!(shop.replay(Replay::new("again").from(later)).await.unwrap(), 0, "nothing yet, but it can come");
    shop.numbered("t", 31..=33).await;
    shop.relay("again", &to).until_drained(SOON).await.unwrap();
    in_order(&to, (31..=33).collect(), "again");
    let unpublished = published(&shop).await.iter().filter(|at| at.is_none()).count();
    assert_eq!(unpublished, 3, "the first name has not got there");
    shop.relay("first", &to).until_drained(SOON).await.unwrap();
    assert_eq!(published(&shop).await.iter().filter(|at| at.is_none()).count(), 0);
}

async fn one_that_has_an_end_pins_nothing_behind_it<S: Shop>() {
    let shop = delivered::<S>().await;
    let to = MemoryTransport::new();
    shop.replay(Replay::new("again").from(ago(3)).to(SystemTime::now())).await.unwrap();
    shop.numbered("t", 31..=33).await;
    shop.relay("first", &to).until_drained(SOON).await.unwrap();
    assert_eq!(shop.retain(Duration::ZERO).await, 30, "all but 28, 29, 30");
    assert_eq!(shop.kept().await, ["28", "29", "30"]);
    tags(&to);
    shop.relay("again", &to).until_drained(SOON).await.unwrap();
    in_order(&to, vec![28, 29, 30], "again");
    shop.numbered("t", 34..=36).await;
    shop.relay("first", &to).until_drained(SOON).await.unwrap();
    assert_eq!(
        (shop.retain(Duration::ZERO).await, shop.kept().await.len()),
        (6, 0),
        "nobody runs it, and it pins nothing"
    );
}

async fn what_cannot_be_is_refused<S: Shop>() {
    let shop = delivered::<S>().await;
    let refused = async |replay: Replay, why: &str| {
        let error = shop.replay(replay).await.expect_err(why);
        assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    refused(Replay::new("first"), "there already").await;
    refused(Replay::new(""), "name").await;
    refused(Replay::new("again").from(ago(2)).to(ago(3)), "has to be later").await;
    refused(Replay::new("again").to(ago(100)), "widen the selection").await;
    refused(Replay::new("again").topics(["nothing"]).unwrap().to(ago(1)), "widen the selection").await;
    assert_eq!(Replay::new("again").topics(["a*b"]).expect_err("refused").kind(), StoreErrorKind::Config);
    assert_eq!(shop.status().await.unwrap().len(), 1, "nothing was made");
}

async fn a_name_is_forgotten_only_when_nobody_runs_it<S: Shop>() {
    let shop = delivered::<S>().await;
    let (store, lease, _) = acquire(&shop).await;
    store.fetch(&lease, FetchLimits { messages: 5 }).await.unwrap();
    let due_in = Duration::from_secs(600);
    let parked = ParkedMessage { seq: 1, key: None, attempts: 1, due_in, last_error: None };
    let dead = DeadLetter { seq: 2, reason: "refused".into(), attempts: 3 };
    let settlement = Settlement { parked: vec![parked], dead: vec![dead], ..Settlement::default() };
    store.settle(&lease, &settlement).await.unwrap();
    let error = shop.drop_relay("again").await.expect_err("it is held");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(error.to_string().contains("stop it first") && error.to_string().contains("--force"), "{error}");
    store.settle(&lease, &Settlement::default()).await.expect("the holder did not notice");
    assert_eq!(shop.retain(Duration::ZERO).await, 1, "what it did not settle is pinned, and what is parked");
    shop.force_drop_relay("again").await.unwrap();
    assert_eq!(store.settle(&lease, &Settlement::default()).await.expect_err("lost").kind(), StoreErrorKind::LeaseLost);
    assert_eq!((shop.count("outbox_parked").await, shop.count("outbox_dead_letter").await), (0, 1));
    assert_eq!(shop.status().await.unwrap().len(), 1);
    assert_eq!(shop.retain(Duration::ZERO).await, 29);
    let error = shop.drop_relay("again").await.expect_err("unknown");
    assert!(error.to_string().contains("outbox status"), "{error}");
    shop.drop_relay("first").await.expect("released, so nobody runs it");
    assert_eq!(shop.count("outbox_progress").await, 0);
}

/// What commits late below the start is in no snapshot, so the takeover finds it.
#[tokio::test]
async fn what_commits_late_below_the_start_is_covered() {
    for names in [&["first"][..], &[]] {
        let shop = OnPostgres::open().await;
        shop.numbered("t", 1..=3).await;
        for name in names {
            shop.relay(name, &MemoryTransport::new()).until_drained(SOON).await.unwrap();
        }
        let enqueue = async |tag: &str| {
            let mut tx = shop.1.begin().await.unwrap();
            shop.0.enqueue(&mut tx, Message::new("t", tag).key(tag == "other")).await.unwrap();
            tx
        };
        let from = SystemTime::now();
        let (late, other, early) = (enqueue("late").await, enqueue("other").await, enqueue("early").await);
        early.commit().await.unwrap();
        let from = from - Duration::from_millis(5);
        shop.run(
            "update outbox_message set created_at = created_at - interval '1 h' where event_type in ('1', '2', '3')",
        )
        .await;
        assert_eq!(shop.replay(Replay::new("again").from(from).key(false)).await.unwrap(), 1);
        late.commit().await.unwrap();
        other.commit().await.unwrap();
        let to = MemoryTransport::new();
        shop.relay("again", &to).until_drained(SOON).await.unwrap();
        assert_eq!(tags(&to), ["late", "early"], "{names:?}");
    }
}

/// A batch that is under way could delete what is covered: the replay waits for its end, and the next one sees it.
#[tokio::test]
async fn retention_waits_while_a_replay_is_made() {
    let shop = delivered::<OnPostgres>().await;
    let mut batch = shop.1.begin().await.unwrap();
    sqlx::raw_sql("select from outbox_retention for update").execute(&mut *batch).await.unwrap();
    let making = tokio::spawn({
        let shop = shop.clone();
        async move { shop.replay(Replay::new("again")).await }
    });
    let waits =
        "select 'x'::text from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    testkit::eventually("it waits", SOON, || async { !shop.texts(waits).await.is_empty() }).await;
    sqlx::raw_sql("delete from outbox_message where seq <= 10").execute(&mut *batch).await.unwrap();
    batch.commit().await.unwrap();
    assert_eq!(making.await.unwrap().unwrap(), 20, "what is told is what comes");
    assert_eq!(shop.retain(Duration::ZERO).await, 0);
}
