//! A message whose deduplication key is remembered is written once.
#![cfg(all(feature = "postgres", feature = "mysql", feature = "sqlite"))]

mod later;

use std::time::Duration;

use later::{SOON, Shop, on_all};
use outbox_core::{Message, MessageId, Store, StoreErrorKind};
use testkit::eventually;

on_all!(
    a_second_message_of_a_key_is_not_written,
    a_key_belongs_to_a_transaction_that_committed,
    of_many_that_try_at_once_one_writes,
    many_at_once_are_sorted_out,
    a_scheduled_one_has_its_key_until_it_is_cancelled,
    a_key_is_free_again_after_the_window,
    a_mover_deletes_what_has_expired,
    a_window_out_of_bounds_is_refused,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn once(name: &str, key: &str) -> Message {
    Message::new("t", name).dedup_key(key)
}

async fn a_second_message_of_a_key_is_not_written<S: Shop>() {
    let shop = S::open().await;
    let message = once("1", "a");
    let first = shop.write_one(message.clone()).await;
    assert_eq!(first, message.id);
    assert_eq!(shop.write_one(once("2", "a")).await, first);
    assert_eq!(shop.write_one(message).await, first, "also with the same id");
    // Keys are compared byte by byte.
    for other in ["A", "a ", " a", "ä", "'", "\\"] {
        assert_ne!(shop.write_one(once("3", other)).await, first, "{other:?}");
    }
    let mut tx = shop.begin().await;
    let new = shop.enqueue(&mut tx, once("4", "b")).await.unwrap();
    assert_eq!(shop.enqueue(&mut tx, once("5", "b")).await.unwrap(), new, "within a transaction");
    let refused = shop.enqueue(&mut tx, once("6", "")).await.expect_err("empty");
    assert_eq!(refused.kind(), StoreErrorKind::InvalidMessage);
    shop.commit(tx).await;
    assert_eq!(shop.moved().await, ["1", "3", "3", "3", "3", "3", "3", "4"]);
}

async fn a_key_belongs_to_a_transaction_that_committed<S: Shop>() {
    let shop = S::open().await;
    let mut tx = shop.begin().await;
    shop.enqueue(&mut tx, once("1", "a")).await.unwrap();
    let second = {
        let shop = shop.clone();
        tokio::spawn(async move { shop.write_one(once("2", "a")).await })
    };
    shop.rollback(tx).await;
    let second = second.await.unwrap();
    assert_eq!((shop.moved().await, shop.write_one(once("3", "a")).await), (vec!["2".into()], second));
}

async fn of_many_that_try_at_once_one_writes<S: Shop>() {
    let shop = S::open().await;
    for round in 0..10 {
        let key = format!("key {round}");
        let tries = (0..6).map(|n| {
            let (shop, key) = (shop.clone(), key.clone());
            tokio::spawn(async move {
                // MySQL finds a deadlock where the first of several that wait was rolled back.
                let (tx, id) = loop {
                    let mut tx = shop.begin().await;
                    match shop.enqueue(&mut tx, once(&format!("{round} {n}"), &key)).await {
                        Ok(id) => break (tx, id),
                        Err(e) if e.kind() == StoreErrorKind::Conflict => shop.rollback(tx).await,
                        Err(e) => panic!("{e}"),
                    }
                };
                // Every other one has nothing to say in the end.
                if n % 2 == 1 {
                    shop.rollback(tx).await;
                    return None;
                }
                shop.commit(tx).await;
                Some(id)
            })
        });
        let mut ids = Vec::new();
        for one in tries.collect::<Vec<_>>() {
            ids.extend(one.await.unwrap());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "all have the id of the first one");
        let id = S::ID;
        let found = shop.texts(&format!("select {id} from outbox_message where event_type like '{round} %'")).await;
        let expected = if id.contains("hex") { ids[0].as_uuid().simple().to_string() } else { ids[0].to_string() };
        assert_eq!(found, [expected], "and that is the one there is");
    }
}

async fn many_at_once_are_sorted_out<S: Shop>() {
    let shop = S::open().await;
    shop.write_one(once("known", "7")).await;
    let mut messages = vec![Message::new("t", "without a key")];
    messages.extend((0..1_200).map(|n| once(&n.to_string(), &(n % 600).to_string())));
    assert_eq!(shop.write(messages.clone()).await, 600, "one without, 600 keys, of which one is known");
    let moved = shop.moved().await;
    let expected: Vec<String> = (0..600).filter(|n| *n != 7).map(|n| n.to_string()).collect();
    assert_eq!((moved[0].as_str(), moved[1].as_str()), ("known", "without a key"));
    assert!(moved[2..] == expected, "the first of each key, in the order of the call");
    assert_eq!(shop.write(messages[1..].to_vec()).await, 0);
}

async fn a_scheduled_one_has_its_key_until_it_is_cancelled<S: Shop>() {
    let shop = S::open().await;
    let first = shop.write_one(once("1", "a").deliver_after(HOUR)).await;
    assert_eq!(shop.write_one(once("2", "a")).await, first);
    assert_eq!(shop.write_one(once("3", "a").deliver_after(HOUR)).await, first);
    let mut tx = shop.begin().await;
    assert!(shop.cancel(&mut tx, first).await.unwrap());
    shop.rollback(tx).await;
    assert_eq!(shop.write_one(once("4", "a")).await, first, "the cancel was rolled back");
    assert!(shop.cancel_one(first).await);
    let second = shop.write_one(once("5", "a").deliver_after(Duration::ZERO)).await;
    assert_ne!(second, first);
    shop.move_due().await;
    assert_eq!(shop.write_one(once("6", "a")).await, second, "moving frees no key");
    assert!(!shop.cancel_one(second).await);
    assert_eq!(shop.write_one(once("7", "a")).await, second, "nor does a cancel that comes too late");
    assert_eq!((shop.moved().await, shop.waiting().await.len()), (vec!["5".into()], 0));
}

async fn a_key_is_free_again_after_the_window<S: Shop>() {
    let shop = S::open().await.window(Duration::from_secs(1)).expect("the shortest one");
    let began = std::time::Instant::now();
    let first = shop.write_one(once("1", "a")).await;
    eventually("the key is free", SOON, || async { shop.write_one(once("2", "a")).await != first }).await;
    assert!(began.elapsed() > Duration::from_millis(800), "{:?}", began.elapsed());
    let second = shop.window(HOUR).unwrap();
    assert_eq!((shop.moved().await.len(), second.count("outbox_dedup").await), (2, 1));
}

async fn a_mover_deletes_what_has_expired<S: Shop>() {
    let shop = S::open().await;
    shop.write((0..5_000).map(|n| once("e", &n.to_string())).collect()).await;
    let mut tx = shop.begin().await;
    for _ in 0..3 {
        assert!(shop.first_time(&mut tx, "c", MessageId::new()).await.unwrap());
    }
    shop.commit(tx).await;
    let now = S::NOW;
    shop.run(
        &format!("update outbox_dedup set expires_at = {now} where key_is_old").replace(
            "key_is_old",
            if S::ID.contains("text") || !S::WRITERS { "key <> '7'" } else { "dedup_key <> '7'" },
        ),
    )
    .await;
    shop.run(&format!("update outbox_inbox set expires_at = {now}")).await;
    let store = shop.store();
    let lease = shop.lease(&store, "a").await;
    eventually("only one key is left, in batches", SOON, || async {
        shop.count("outbox_dedup").await == 1 && shop.count("outbox_inbox").await == 0
    })
    .await;
    store.release(&lease).await.unwrap();
}

async fn a_window_out_of_bounds_is_refused<S: Shop>() {
    let shop = S::open().await;
    let day = Duration::from_secs(24 * 3_600);
    for bad in [Duration::ZERO, Duration::from_millis(999), 365 * day + Duration::from_millis(1)] {
        let error = shop.window(bad).err().expect("refused");
        assert_eq!(error.kind(), StoreErrorKind::Config);
        assert!(error.to_string().contains("1 second to 365 days"), "{error}");
    }
    assert!(shop.window(365 * day).is_ok());
}
