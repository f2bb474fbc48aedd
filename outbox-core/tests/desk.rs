//! A relay that runs, and what is decided at the desk meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::admin::{Admin, DeadLetterFilter};
use outbox_core::memory::{MemoryStore, MemoryTransport};
use outbox_core::{
    Batch, KeyOrder, Message, MessageRef, Observer, OnExhausted, Outcomes, Relay, RelayError, RelayEvent, RetryPolicy,
    Store, StoreRelay, Transport, TransportCapabilities, async_trait, transport,
};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn enqueue(store: &MemoryStore, texts: &[(&str, &str)]) {
    let mut tx = store.begin();
    for (key, text) in texts {
        tx.enqueue(Message::new("t", "e").key(key).text(*text)).expect("valid");
    }
    tx.commit();
}

async fn until(what: impl Fn() -> bool) {
    let looks = async {
        while !what() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SECOND * 600, looks).await.expect("never came");
}

#[derive(Debug, Clone, Default)]
struct Events(Arc<Mutex<Vec<RelayEvent>>>);

impl Observer for Events {
    fn on_event(&self, _: &str, event: &RelayEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// Stores what it does not refuse.
#[derive(Debug, Clone, Default)]
struct Broker {
    stored: Arc<Mutex<Vec<String>>>,
    healed: Arc<Mutex<bool>>,
}

impl Broker {
    fn transport(&self, refused: fn(&MessageRef<'_>) -> bool) -> impl Transport {
        let broker = self.clone();
        transport::from_fn(move |m: MessageRef<'_>| {
            let refused = refused(&m) && !*broker.healed.lock().unwrap();
            if !refused {
                broker.stored.lock().unwrap().push(String::from_utf8_lossy(m.payload()).into_owned());
            }
            async move { if refused { Err("refused".into()) } else { Ok(()) } }
        })
    }

    fn heal(&self) {
        *self.healed.lock().unwrap() = true;
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.stored.lock().unwrap())
    }

    fn stored(&self) -> usize {
        self.stored.lock().unwrap().len()
    }
}

fn texts(sent: &MemoryTransport) -> Vec<String> {
    sent.take().iter().map(|m| String::from_utf8_lossy(m.payload()).into_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_relay_is_paused_and_resumed_within_a_second() {
    let (store, sent, events) = (MemoryStore::new(), MemoryTransport::new(), Events::default());
    let relay = StoreRelay::builder("test", store.clone(), sent.clone()).observer(events.clone());
    let relay = relay.build().expect("valid settings");
    let desk = store.admin().expect("a desk");
    let task = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    enqueue(&store, &[("k", "1")]);
    until(|| relay.handle().stats().delivered == 1).await;
    desk.pause("test").await.expect("paused");
    sleep(SECOND).await;
    enqueue(&store, &[("k", "2")]);
    sleep(SECOND * 60).await;
    assert_eq!(relay.handle().stats().delivered, 1, "nothing is handed over");
    let once = relay.run_once().await;
    assert!(matches!(once, Err(RelayError::Paused { .. })), "{once:?}");
    let told = events.0.lock().unwrap().iter().filter(|e| **e == RelayEvent::Paused).count();
    assert_eq!(told, 1);
    let resumed = Instant::now();
    desk.resume("test").await.expect("resumed");
    until(|| relay.handle().stats().delivered == 2).await;
    assert!(resumed.elapsed() <= SECOND, "{:?}", resumed.elapsed());
    task.abort();
    assert_eq!(texts(&sent), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_paused_and_its_messages_come_in_order_when_it_is_resumed() {
    let (store, sent) = (MemoryStore::new(), MemoryTransport::new());
    let relay = StoreRelay::builder("test", store.clone(), sent.clone()).build().expect("valid settings");
    let desk = store.admin().expect("a desk");
    let task = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    enqueue(&store, &[("k", "1"), ("other", "a")]);
    until(|| relay.handle().stats().delivered == 2).await;
    desk.pause_key("test", "k").await.expect("paused");
    sleep(SECOND).await;
    for n in 2..5 {
        enqueue(&store, &[("k", &n.to_string()), ("other", "b")]);
        sleep(SECOND * 10).await;
    }
    assert_eq!((relay.handle().stats().delivered, relay.handle().stats().parked), (5, 3));
    desk.resume_key("test", "k").await.expect("resumed");
    sleep(SECOND).await;
    assert_eq!((relay.handle().stats().delivered, relay.handle().stats().parked), (8, 0));
    task.abort();
    let of_key: Vec<String> = texts(&sent).into_iter().filter(|text| text.parse::<u32>().is_ok()).collect();
    assert_eq!(of_key, ["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_replayed_by_a_relay_that_runs() {
    let (store, broker) = (MemoryStore::new(), Broker::default());
    let refusing = broker.transport(|m| m.key() == Some("k"));
    let relay = StoreRelay::builder("test", store.clone(), refusing).max_attempts(1).build().expect("valid settings");
    let desk = store.admin().expect("a desk");
    let task = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(std::future::pending()).await }
    });
    enqueue(&store, &[("k", "1"), ("k", "2"), ("k", "3"), ("other", "a")]);
    // Others show that it is there.
    while relay.handle().stats().dead < 3 {
        enqueue(&store, &[("other", "a")]);
        sleep(SECOND).await;
    }
    broker.heal();
    until(|| store.dead_letters("test").len() == 3).await;
    broker.take();
    assert_eq!(desk.replay(&DeadLetterFilter::all().key("k"), None).await.expect("replayed"), 3);
    until(|| broker.stored() == 3).await;
    task.abort();
    assert_eq!(broker.take(), ["1", "2", "3"]);
    assert_eq!(store.dead_letters("test").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_blocked_goes_on_when_its_message_is_given_up_or_tried_anew() {
    for give_up in [true, false] {
        let (store, broker) = (MemoryStore::new(), Broker::default());
        let refusing = broker.transport(|m| m.payload() == b"1");
        let policy = RetryPolicy::new().max_attempts(1).on_exhausted(OnExhausted::BlockKey);
        let relay = StoreRelay::builder("test", store.clone(), refusing).retry_policy(policy);
        let relay = relay.build().expect("valid settings");
        let desk: Arc<dyn Admin> = store.admin().expect("a desk");
        let task = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        enqueue(&store, &[("k", "1"), ("k", "2"), ("other", "a")]);
        while relay.handle().stats().blocked == 0 {
            enqueue(&store, &[("other", "a")]);
            sleep(SECOND).await;
        }
        broker.take();
        let waiting = desk.waiting("test", None, 10).await.expect("listed");
        assert_eq!(
            waiting.iter().map(|w| (w.attempts, w.key.as_deref())).collect::<Vec<_>>(),
            [(1, Some("k")), (0, Some("k"))]
        );
        if give_up {
            assert!(desk.give_up("test", waiting[0].id).await.expect("given up"));
        } else {
            broker.heal();
            assert_eq!(desk.retry("test", Some("k")).await.expect("retried"), 2);
        }
        until(|| broker.stored() > 0).await;
        sleep(SECOND).await;
        task.abort();
        assert_eq!(broker.take(), if give_up { &["2"][..] } else { &["1", "2"] });
        assert_eq!(store.dead_letters("test").len(), usize::from(give_up));
    }
}

/// Many of a key may be in flight; refuses everything at first, and then notes when each came.
#[derive(Debug, Clone, Default)]
struct Gapless {
    healed: Arc<Mutex<bool>>,
    came: Arc<Mutex<Vec<(String, Instant)>>>,
}

#[async_trait]
impl Transport for Gapless {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(KeyOrder::Gapless)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        for m in batch.iter() {
            if *self.healed.lock().unwrap() {
                let text = String::from_utf8_lossy(m.payload()).into_owned();
                self.came.lock().unwrap().push((text, Instant::now()));
                out.delivered(m);
            } else {
                out.reject(m, "refused");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_paced_replay_is_paced_where_many_of_a_key_may_be_in_flight() {
    let (store, broker) = (MemoryStore::new(), Gapless::default());
    enqueue(&store, &[("k", "1"), ("k", "2"), ("k", "3"), ("k", "4"), ("k", "5")]);
    let relay = StoreRelay::builder("test", store.clone(), broker.clone()).build().expect("valid settings");
    let running = tokio::spawn(async move { relay.run(std::future::pending()).await });
    until(|| store.dead_letters("test").len() == 5).await;
    *broker.healed.lock().unwrap() = true;
    let desk = store.admin().expect("a desk");
    assert_eq!(desk.replay(&DeadLetterFilter::all(), Some(1)).await.expect("put back"), 5);
    until(|| broker.came.lock().unwrap().len() == 5).await;
    let came = broker.came.lock().unwrap().clone();
    assert_eq!(came.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
    // The first one comes a little late: the relay has to notice.
    assert!(came[4].1 - came[0].1 > SECOND * 3, "{came:?}");
    running.abort();
}
