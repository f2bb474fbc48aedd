//! Messages for later and deduplication keys of the store in memory, by tokio's paused clock.

use std::time::{Duration, SystemTime};

use outbox_core::memory::{MemoryStore, MemoryTransport};
use outbox_core::{Message, Relay, StoreRelay};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);

fn write(store: &MemoryStore, messages: impl IntoIterator<Item = Message>) {
    let mut tx = store.begin();
    messages.into_iter().for_each(|message| tx.enqueue(message).expect("valid"));
    tx.commit();
}

/// What is delivered now.
async fn came(store: &MemoryStore) -> Vec<String> {
    let sent = MemoryTransport::new();
    let relay = StoreRelay::builder("test", store.clone(), sent.clone()).build().expect("valid settings");
    relay.until_drained(MINUTE).await.expect("drained");
    sent.take().iter().map(|m| m.event_type().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_for_later_comes_when_it_is_due_unless_it_is_cancelled() {
    let store = MemoryStore::new();
    let cancelled = Message::new("t", "cancelled").deliver_after(MINUTE);
    let id = cancelled.id;
    let later = Message::new("t", "later").key(1).deliver_after(MINUTE * 2);
    let past = Message::new("t", "past").key(1).deliver_at(SystemTime::UNIX_EPOCH);
    let soon = Message::new("t", "soon").key(1).deliver_at(SystemTime::now() + MINUTE);
    write(&store, [later, cancelled, soon, past, Message::new("t", "now").key(1)]);
    assert_eq!(came(&store).await, ["now", "past"]);
    assert!(store.cancel(id) && !store.cancel(id), "it waits, once");
    sleep(MINUTE + MINUTE / 2).await;
    assert_eq!(came(&store).await, ["soon"]);
    sleep(MINUTE).await;
    assert_eq!(came(&store).await, ["later"]);
    assert!(!store.cancel(id), "there is nothing left to cancel");
}

#[tokio::test(start_paused = true)]
async fn a_deduplication_key_lets_one_message_through() {
    let store = MemoryStore::new();
    let message = |name: &str| Message::new("t", name).dedup_key("order-7");
    write(&store, [message("first"), message("second")]);
    write(&store, [message("third").deliver_after(MINUTE), Message::new("t", "other")]);
    sleep(MINUTE * 2).await;
    assert_eq!(came(&store).await, ["first", "other"]);
    sleep(Duration::from_secs(8 * 24 * 3_600)).await;
    write(&store, [message("a week later")]);
    assert_eq!(came(&store).await, ["a week later"]);
}
