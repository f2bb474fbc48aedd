//! A topic that is missing, and something else: publishes under way, copies that may arrive, a topic that is there for
//! others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    Batch, KeyOrder, Message, Outcomes, Relay, StoreRelay, Transport, TransportCapabilities, async_trait,
};
use tokio::time::{Instant, sleep, timeout};

/// Looks again while the paused clock moves on.
async fn until(what: impl Fn() -> bool) {
    let looks = async {
        while !what() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(600), looks).await.expect("never came");
}

/// Messages of one topic; every text is its number.
fn enqueue(store: &MemoryStore, messages: usize, keys: usize) {
    let mut tx = store.begin();
    for i in 0..messages {
        tx.enqueue(Message::new("t", "e").key(i % keys).text(i.to_string())).expect("valid");
    }
    tx.commit();
}

/// Many of a key may be in flight. What goes to the slow topic takes 8 s, and is stored then.
#[derive(Debug, Default)]
struct Slow {
    handed: Mutex<Vec<String>>,
    stored: Mutex<Vec<String>>,
}

#[async_trait]
impl Transport for Slow {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(KeyOrder::Gapless)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        for m in batch.iter() {
            let text = String::from_utf8_lossy(m.payload()).into_owned();
            self.handed.lock().unwrap().push(text.clone());
            if m.topic() == "missing" {
                out.destination(m, "no such topic");
                continue;
            }
            sleep(Duration::from_secs(8)).await;
            self.stored.lock().unwrap().push(text);
            out.delivered(m);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_waits_for_what_of_its_key_is_under_way() {
    for together in [false, true] {
        probe_beside(together).await;
    }
}

/// `together`: both of the key are of one batch.
async fn probe_beside(together: bool) {
    let (store, slow) = (MemoryStore::new(), Arc::new(Slow::default()));
    let relay = StoreRelay::builder("test", store.clone(), slow.clone()).build().expect("valid settings");
    let handle = relay.handle();
    let task = tokio::spawn(async move { relay.run(std::future::pending()).await });
    let enqueue = |messages: &[(&str, Option<&str>, &str)]| {
        let mut tx = store.begin();
        for (topic, key, text) in messages {
            let message = Message::new(*topic, "e").text(*text);
            tx.enqueue(if let Some(key) = key { message.key(key) } else { message }).expect("valid");
        }
        tx.commit();
    };
    enqueue(&[("missing", None, "other")]);
    until(|| handle.stats().destinations_held == 1).await;
    let both = [("slow", Some("key"), "first"), ("missing", Some("key"), "second")];
    enqueue(if together { &both } else { &both[..1] });
    until(|| slow.handed.lock().unwrap().contains(&"first".to_owned())).await;
    enqueue(if together { &[] } else { &both[1..] });
    until(|| handle.stats().parked == 2).await;
    sleep(Duration::from_secs(6)).await;
    let probes = slow.handed.lock().unwrap().iter().filter(|text| *text == "other").count();
    assert!(probes > 3, "the topic is probed meanwhile: {probes}");
    assert!(!slow.handed.lock().unwrap().contains(&"second".to_owned()), "the first may still fail");
    until(|| slow.handed.lock().unwrap().contains(&"second".to_owned())).await;
    assert_eq!(*slow.stored.lock().unwrap(), ["first"]);
    task.abort();
}

/// Says nothing of the first publish, then that the topic is missing, and then that it stores none of it.
#[derive(Debug, Default)]
struct Fickle {
    publishes: Mutex<usize>,
    rejected: Mutex<Option<Instant>>,
}

#[async_trait]
impl Transport for Fickle {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let mut publishes = self.publishes.lock().unwrap();
        *publishes += 1;
        match *publishes {
            1 => {}
            2 => batch.iter().for_each(|m| out.destination(m, "no such topic")),
            _ => {
                batch.iter().for_each(|m| out.reject(m, "never"));
                self.rejected.lock().unwrap().get_or_insert_with(Instant::now);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_still_arrive_is_waited_for_also_where_the_topic_was_missing_meanwhile() {
    let (store, fickle) = (MemoryStore::new(), Arc::new(Fickle::default()));
    // One is tried while the topic is missing, the other one waits for it; of both a copy may be on its way.
    enqueue(&store, 2, 2);
    let relay = StoreRelay::builder("test", store.clone(), fickle.clone()).build().expect("valid settings");
    let handle = relay.handle();
    let task = tokio::spawn(async move { relay.run(std::future::pending()).await });
    until(|| handle.stats().dead > 0).await;
    let rejected = fickle.rejected.lock().unwrap().expect("was rejected before");
    assert!(rejected.elapsed() >= Duration::from_secs(10), "{:?}", rejected.elapsed());
    until(|| handle.stats().dead == 2).await;
    assert_eq!(handle.stats().outages, 1);
    task.abort();
}

/// A broker that has a topic, and refuses some of its messages as if it had not.
#[derive(Debug, Default)]
struct Picky(Mutex<(usize, usize)>);

#[async_trait]
impl Transport for Picky {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        for m in batch.iter() {
            if m.payload() == b"0" {
                self.0.lock().unwrap().0 += 1;
                out.destination(m, "nobody is bound to this one");
            } else {
                self.0.lock().unwrap().1 += 1;
                out.delivered(m);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_missing_for_one_message_alone_is_not_tried_without_end() {
    let (store, picky) = (MemoryStore::new(), Arc::new(Picky::default()));
    enqueue(&store, 1_000, 50);
    let relay = StoreRelay::builder("test", store.clone(), picky.clone()).build().expect("valid settings");
    let task = tokio::spawn(async move { relay.run(std::future::pending()).await });
    sleep(Duration::from_secs(60)).await;
    // Nineteen more wait behind the one in its key.
    let (tried, delivered) = *picky.0.lock().unwrap();
    assert_eq!(delivered, 980);
    assert!((5..=40).contains(&tried), "{tried}");
    task.abort();
}
