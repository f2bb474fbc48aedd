//! Messages for later: written and cancelled in the caller's transaction, moved once, in order, when they are due.
#![cfg(all(feature = "postgres", feature = "mysql", feature = "sqlite"))]

mod later;

use std::time::{Duration, SystemTime};

use later::{SOON, Shop, on_all};
use outbox_core::memory::MemoryTransport;
use outbox_core::{Message, MessageId, Relay, Store, StoreErrorKind};
use testkit::eventually;

on_all!(
    it_is_delivered_when_it_is_due_and_not_before,
    it_exists_if_and_only_if_the_transaction_committed,
    it_takes_its_place_by_due_time_and_then_id,
    it_can_be_cancelled_until_it_has_moved,
    it_keeps_what_it_is_and_when_it_was_written,
    a_relay_that_runs_once_delivers_what_is_due,
    two_handles_move_each_message_once,
    an_emptied_table_of_the_mover_is_mended,
    a_client_without_a_crate_of_its_own_writes_for_later,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn at(name: &str, time: SystemTime) -> Message {
    Message::new("t", name).key("k").text(name).deliver_at(time)
}

fn came(to: &MemoryTransport) -> Vec<String> {
    to.take().iter().map(|m| m.event_type().to_owned()).collect()
}

async fn it_is_delivered_when_it_is_due_and_not_before<S: Shop>() {
    let shop = S::open().await;
    let to = MemoryTransport::new();
    let relay = shop.relay(&to);
    let running = tokio::spawn(async move { relay.run(std::future::pending()).await });
    let soon = Duration::from_secs(4);
    let began = std::time::Instant::now();
    let written = shop
        .write(vec![
            Message::new("t", "soon").key("k").deliver_after(soon),
            Message::new("t", "now").key("k"),
            Message::new("t", "later").key("k").deliver_after(HOUR),
        ])
        .await;
    assert_eq!(written, 3);
    let unpublished = "select event_type from outbox where published_at is null and retry_count = 0 order by 1";
    let waiting = shop.texts(unpublished).await;
    assert!(["later", "soon"].iter().all(|name| waiting.iter().any(|waits| waits == name)), "{waiting:?}");
    let mut seen = Vec::new();
    eventually("two came", SOON, || {
        seen.extend(came(&to));
        let done = seen.len() == 2;
        async move { done }
    })
    .await;
    // The clock of the database may be some milliseconds away from the one of this process.
    let (took, slack) = (began.elapsed(), Duration::from_millis(100));
    assert_eq!(seen, ["now", "soon"]);
    assert!(took + slack >= soon, "it came after {took:?}");
    assert!(took < soon + Duration::from_secs(20), "a mover asks again when the next one is due: {took:?}");
    assert_eq!(shop.waiting().await, ["later"]);
    running.abort();
}

async fn a_client_without_a_crate_of_its_own_writes_for_later<S: Shop>() {
    let shop = S::open().await;
    let late = Message::new("t", "late").key("k").header("trace", "\"x\"").deliver_after(Duration::from_millis(300));
    let messages = [late, Message::new("t", "o'due").key("k"), Message::new("t", "never").deliver_after(HOUR)];
    let (dialect, names) = (shop.driver().dialect(), outbox_sql::Names::default());
    let statement = outbox_sql::insert_scheduled(dialect, &names, &outbox_core::Limits::DEFAULT, &messages);
    shop.run_with(statement.expect("within the limits")).await;
    let to = MemoryTransport::new();
    let (relay, seen) = (shop.relay(&to), std::sync::Mutex::new(Vec::new()));
    eventually("two came", SOON, || async {
        relay.run_once().await.expect("delivered");
        seen.lock().unwrap().extend(came(&to));
        seen.lock().unwrap().len() == 2
    })
    .await;
    assert_eq!(*seen.lock().unwrap(), ["o'due", "late"]);
    assert_eq!(shop.waiting().await, ["never"]);
}

async fn it_exists_if_and_only_if_the_transaction_committed<S: Shop>() {
    let shop = S::open().await;
    let mut tx = shop.begin().await;
    shop.enqueue(&mut tx, Message::new("t", "1").deliver_after(HOUR)).await.unwrap();
    shop.enqueue_all(&mut tx, vec![Message::new("t", "2"), Message::new("t", "3").deliver_after(HOUR)]).await;
    shop.rollback(tx).await;
    assert_eq!((shop.waiting().await.len(), shop.moved().await.len()), (0, 0));
    let mut tx = shop.begin().await;
    let refused = shop.enqueue(&mut tx, Message::new("t", "1").deliver_after(HOUR * 24 * 366 * 100)).await;
    assert_eq!(refused.expect_err("too late").kind(), StoreErrorKind::InvalidMessage);
    shop.enqueue(&mut tx, Message::new("t", "4").deliver_after(HOUR)).await.unwrap();
    shop.commit(tx).await;
    assert_eq!(shop.waiting().await, ["4"]);
    // Not yet: what a mover finds is nothing.
    shop.move_due().await;
    assert_eq!((shop.waiting().await.len(), shop.moved().await.len()), (1, 0));
    for error in shop.without_transaction().await {
        assert_eq!(error.kind(), StoreErrorKind::NotInTransaction, "{error}");
    }
}

async fn it_takes_its_place_by_due_time_and_then_id<S: Shop>() {
    let shop = S::open().await;
    let then = SystemTime::now() - HOUR;
    // More than one batch, written in no order; ten at a time are due at the same time.
    let mut messages: Vec<(u64, MessageId)> = (0..1_200).map(|n| (n * 7_919 % 120, MessageId::new())).collect();
    let message = |(due, id): &(u64, MessageId)| at(&id.to_string(), then + Duration::from_micros(*due)).id(*id);
    assert_eq!(shop.write(messages.iter().map(message).collect()).await, 1_200);
    shop.move_due().await;
    messages.sort_unstable();
    let expected: Vec<String> = messages.iter().map(|(_, id)| id.to_string()).collect();
    assert!(shop.moved().await == expected, "in the order of due time and id");
    let to = MemoryTransport::new();
    shop.relay(&to).until_drained(SOON).await.unwrap();
    assert!(came(&to) == expected, "and so it is delivered");
}

async fn it_can_be_cancelled_until_it_has_moved<S: Shop>() {
    let shop = S::open().await;
    let id = shop.write_one(Message::new("t", "1").deliver_after(HOUR)).await;
    let mut tx = shop.begin().await;
    assert!(shop.cancel(&mut tx, id).await.unwrap());
    assert!(!shop.cancel(&mut tx, id).await.unwrap(), "once");
    shop.rollback(tx).await;
    assert_eq!(shop.waiting().await, ["1"], "the cancel was rolled back");
    assert!(shop.cancel_one(id).await);
    assert!(!shop.cancel_one(id).await && !shop.cancel_one(MessageId::new()).await);
    assert_eq!(shop.waiting().await.len(), 0);
    // In the transaction that schedules it, too.
    let mut tx = shop.begin().await;
    let id = shop.enqueue(&mut tx, Message::new("t", "2").deliver_after(HOUR)).await.unwrap();
    assert!(shop.cancel(&mut tx, id).await.unwrap());
    shop.commit(tx).await;
    assert_eq!(shop.waiting().await.len(), 0);
    // One that has moved goes its way.
    let id = shop.write_one(at("3", SystemTime::now() - HOUR)).await;
    shop.move_due().await;
    assert!(!shop.cancel_one(id).await);
    let to = MemoryTransport::new();
    shop.relay(&to).until_drained(SOON).await.unwrap();
    assert_eq!(came(&to), ["3"]);
}

async fn it_keeps_what_it_is_and_when_it_was_written<S: Shop>() {
    let shop = S::open().await;
    let whole = Message::new("t", "e").key("k").payload(vec![0, 39, 92, 255]).content_type("x/y").header("a", "ü'\\");
    let bare = Message::new("t", "bare");
    let (one, two) = (whole.clone().deliver_after(HOUR), bare.clone().deliver_at(SystemTime::now() + HOUR));
    assert_eq!(shop.write(vec![one, two]).await, 2);
    let written = "select cast(created_at as char(26)) from outbox order by event_type";
    let before = shop.texts(written).await;
    let id = S::ID;
    let ids = shop.texts(&format!("select {id} from outbox_scheduled order by event_type")).await;
    let due = shop.texts("select cast(due_at as char(19)) from outbox_scheduled order by event_type").await;
    assert_eq!(due.len(), 2);
    shop.run("update outbox_scheduled set due_at = created_at").await;
    shop.move_due().await;
    assert_eq!(shop.texts(&format!("select {id} from outbox_message order by event_type")).await, ids);
    assert_eq!(shop.texts(written).await, before, "the time of the transaction that wrote it");
    let to = MemoryTransport::new();
    shop.relay(&to).until_drained(SOON).await.unwrap();
    let mut sent = to.take();
    sent.sort_by_key(|m| m.event_type().to_owned());
    for (sent, message) in sent.iter().zip([&bare, &whole]) {
        assert_eq!((sent.id(), sent.topic(), sent.key()), (message.id, "t", message.key.as_deref()));
        assert_eq!((sent.payload(), sent.content_type()), (&message.payload[..], message.content_type.as_deref()));
        assert_eq!(sent.headers(), message.headers);
    }
    assert_eq!(sent.len(), 2);
}

async fn a_relay_that_runs_once_delivers_what_is_due<S: Shop>() {
    let shop = S::open().await;
    shop.write(vec![at("1", SystemTime::now() - HOUR), at("2", SystemTime::now() + HOUR)]).await;
    let to = MemoryTransport::new();
    shop.relay(&to).run_once().await.unwrap();
    assert_eq!((came(&to), shop.waiting().await), (vec!["1".into()], vec!["2".into()]));
}

async fn two_handles_move_each_message_once<S: Shop>() {
    let shop = S::open().await;
    let stores = [shop.store(), shop.store(), shop.store()];
    let leases =
        [shop.lease(&stores[0], "a").await, shop.lease(&stores[1], "b").await, shop.lease(&stores[2], "c").await];
    // Written while three movers run, and due at once.
    for part in 0..5 {
        let due = |n: usize| at(&(part * 700 + n).to_string(), SystemTime::now() - HOUR);
        shop.write((0..700).map(due).collect()).await;
    }
    eventually("all have moved", SOON, || async { shop.waiting().await.is_empty() }).await;
    let mut moved: Vec<usize> = shop.moved().await.iter().map(|n| n.parse().unwrap()).collect();
    moved.sort_unstable();
    assert!(moved == (0..3_500).collect::<Vec<_>>(), "each of them once");
    for (store, lease) in stores.iter().zip(&leases) {
        store.release(lease).await.unwrap();
    }
}

async fn an_emptied_table_of_the_mover_is_mended<S: Shop>() {
    let shop = S::open().await;
    shop.run("delete from outbox_mover").await;
    shop.write_one(at("1", SystemTime::now() - HOUR)).await;
    let store = shop.store();
    let lease = shop.lease(&store, "a").await;
    eventually("it moved", SOON, || async { shop.moved().await == ["1"] }).await;
    store.release(&lease).await.unwrap();
}
