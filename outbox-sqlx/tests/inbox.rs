//! A consumer processes a message that arrives twice once.
#![cfg(all(feature = "postgres", feature = "mysql", feature = "sqlite"))]

mod later;

use later::{Shop, on_all};
use outbox_core::{MessageId, StoreErrorKind};

on_all!(
    each_consumer_has_a_message_once,
    it_is_noted_if_and_only_if_the_transaction_committed,
    of_many_that_have_the_same_message_one_is_first,
    what_has_expired_is_deleted,
    a_consumer_without_a_valid_name_is_refused,
);

async fn first<S: Shop>(shop: &S, consumer: &str, id: MessageId) -> bool {
    let mut tx = shop.begin().await;
    let first = shop.first_time(&mut tx, consumer, id).await.expect("asked");
    shop.commit(tx).await;
    first
}

async fn each_consumer_has_a_message_once<S: Shop>() {
    let shop = S::open().await;
    let (one, two) = (MessageId::new(), MessageId::new());
    assert!(first(&shop, "billing", one).await && first(&shop, "billing", two).await);
    for again in [one, two, one] {
        assert!(!first(&shop, "billing", again).await);
    }
    for other in ["Billing", "billing ", "shipping"] {
        assert!(first(&shop, other, one).await, "{other:?}");
    }
    let mut tx = shop.begin().await;
    let three = MessageId::new();
    assert!(shop.first_time(&mut tx, "billing", three).await.unwrap());
    assert!(!shop.first_time(&mut tx, "billing", three).await.unwrap(), "within a transaction");
    shop.commit(tx).await;
}

async fn it_is_noted_if_and_only_if_the_transaction_committed<S: Shop>() {
    let shop = S::open().await;
    let id = MessageId::new();
    let mut tx = shop.begin().await;
    assert!(shop.first_time(&mut tx, "c", id).await.unwrap());
    let second = {
        let shop = shop.clone();
        tokio::spawn(async move { first(&shop, "c", id).await })
    };
    shop.rollback(tx).await;
    assert!(second.await.unwrap(), "the first one was rolled back");
    assert!(!first(&shop, "c", id).await);
}

async fn of_many_that_have_the_same_message_one_is_first<S: Shop>() {
    let shop = S::open().await;
    for _ in 0..10 {
        let id = MessageId::new();
        let tries = (0..6).map(|_| {
            let shop = shop.clone();
            tokio::spawn(async move { first(&shop, "c", id).await })
        });
        let mut firsts = 0;
        for one in tries.collect::<Vec<_>>() {
            firsts += usize::from(one.await.unwrap());
        }
        assert_eq!(firsts, 1);
    }
}

async fn what_has_expired_is_deleted<S: Shop>() {
    let shop = S::open().await;
    let id = MessageId::new();
    assert!(first(&shop, "old", id).await && first(&shop, "new", id).await);
    assert_eq!(shop.prune_inbox().await, 0);
    shop.run(&format!("update outbox_inbox set expires_at = {} where consumer = 'old'", S::NOW)).await;
    assert_eq!((shop.prune_inbox().await, shop.prune_inbox().await), (1, 0));
    assert!(first(&shop, "old", id).await && !first(&shop, "new", id).await);
}

async fn a_consumer_without_a_valid_name_is_refused<S: Shop>() {
    let shop = S::open().await;
    let mut tx = shop.begin().await;
    for bad in ["", "a\0b", &"x".repeat(256)] {
        let error = shop.first_time(&mut tx, bad, MessageId::new()).await.expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    }
    assert!(shop.first_time(&mut tx, &"x".repeat(255), MessageId::new()).await.unwrap());
    shop.commit(tx).await;
    assert_eq!(shop.count("outbox_inbox").await, 1);
}
