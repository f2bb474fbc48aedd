//! A message that ends the process that hands it over.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    Batch, KeyOrder, Message, Outcomes, Relay, RelayError, StoreRelay, Transport, TransportCapabilities, async_trait,
};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// Ends whoever hands it the poison: `died` is how the test sees that.
#[derive(Debug, Clone)]
struct Deadly {
    order: KeyOrder,
    poison: &'static str,
    died: Arc<AtomicUsize>,
    stored: Arc<Mutex<Vec<String>>>,
    away: Arc<Mutex<bool>>,
}

impl Deadly {
    fn new(order: KeyOrder, poison: &'static str) -> Self {
        let (died, stored, away) = Default::default();
        Self { order, poison, died, stored, away }
    }
}

#[async_trait]
impl Transport for Deadly {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(self.order)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        if *self.away.lock().unwrap() {
            return;
        }
        if batch.iter().any(|m| m.payload() == self.poison.as_bytes()) {
            self.died.fetch_add(1, Ordering::Relaxed);
            // The process is gone: nothing is heard of it any more.
            std::future::pending::<()>().await;
        }
        for m in batch.iter() {
            self.stored.lock().unwrap().push(String::from_utf8_lossy(m.payload()).into_owned());
            out.delivered(m);
        }
    }
}

/// A process of its own: runs until it is killed by what it hands over, or until all is drained.
async fn process(store: &MemoryStore, transport: &Deadly) -> Option<Result<u64, RelayError>> {
    let relay = StoreRelay::builder("test", store.clone(), transport.clone()).build().expect("valid settings");
    let died = transport.died.load(Ordering::Relaxed);
    let dies = async {
        while transport.died.load(Ordering::Relaxed) == died {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        () = dies => None,
        ended = relay.until_drained(SECOND * 3_600) => Some(ended),
    }
}

fn enqueue(store: &MemoryStore, messages: usize) {
    let mut tx = store.begin();
    for n in 0..messages {
        tx.enqueue(Message::new("t", "e").key(n % 7).text(n.to_string())).expect("valid");
    }
    tx.commit();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_ends_its_process_becomes_a_dead_letter_alone() {
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let (store, deadly) = (MemoryStore::new(), Deadly::new(order, "40"));
        enqueue(&store, 100);
        let mut processes = 0;
        let ended = loop {
            processes += 1;
            assert!(processes < 13, "{order:?}: the message at fault is not found");
            if let Some(ended) = process(&store, &deadly).await {
                break ended;
            }
        };
        ended.expect("drained");
        assert!((4..=12).contains(&processes), "{order:?}: {processes} processes");
        let dead = store.dead_letters("test");
        assert_eq!(dead.len(), 1, "{order:?}: {dead:?}");
        assert!(dead[0].0.payload.as_ref() == b"40" && dead[0].1.starts_with("its process ended"), "{:?}", dead[0]);
        let mut stored = deadly.stored.lock().unwrap().clone();
        for key in 0..7 {
            let mut of_key: Vec<usize> = Vec::new();
            for n in stored.iter().map(|text| text.parse().expect("a number")).filter(|n: &usize| n % 7 == key) {
                if !of_key.contains(&n) {
                    of_key.push(n);
                }
            }
            assert!(of_key.is_sorted(), "{order:?}: the first copies of key {key} are {of_key:?}");
        }
        stored.sort();
        stored.dedup();
        assert_eq!(stored.len(), 99, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn processes_that_end_in_an_outage_make_no_message_a_suspect() {
    let (store, deadly) = (MemoryStore::new(), Deadly::new(KeyOrder::OneInFlight, "none"));
    enqueue(&store, 20);
    *deadly.away.lock().unwrap() = true;
    for _ in 0..6 {
        let relay = StoreRelay::builder("test", store.clone(), deadly.clone()).build().expect("valid settings");
        // Killed in the middle of it.
        _ = timeout(SECOND * 45, relay.run(std::future::pending())).await;
    }
    *deadly.away.lock().unwrap() = false;
    let back = Instant::now();
    process(&store, &deadly).await.expect("nobody dies").expect("drained");
    assert!(back.elapsed() < SECOND * 60);
    assert_eq!((store.dead_letters("test").len(), deadly.stored.lock().unwrap().len()), (0, 20));
}
