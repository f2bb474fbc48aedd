//! Many messages that wait: for a destination that is away, and behind one that fails.

mod numbers;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use numbers::Numbers;
use outbox_core::memory::MemoryTransport;
use outbox_core::{Batch, KeyOrder, Outcomes, Relay, StoreRelay, Transport, TransportCapabilities, async_trait};
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_secs(60);

/// Stores nothing of what it is told to keep from, and sees that all else comes in order.
#[derive(Debug)]
struct Broker {
    order: KeyOrder,
    /// Nothing, before this time.
    away_until: Option<Instant>,
    /// This message, as long as it is there.
    fails: Mutex<Option<i64>>,
    /// The last number of each key.
    last: Mutex<HashMap<String, i64>>,
    stored: AtomicUsize,
    handed: AtomicUsize,
}

impl Broker {
    fn new(order: KeyOrder, away_until: Option<Instant>, fails: Option<i64>) -> Arc<Self> {
        let (last, stored, handed) = Default::default();
        Arc::new(Self { order, away_until, fails: Mutex::new(fails), last, stored, handed })
    }

    fn stored(&self) -> usize {
        self.stored.load(Ordering::Relaxed)
    }

    fn handed(&self) -> usize {
        self.handed.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Transport for Broker {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(self.order)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        self.handed.fetch_add(batch.len(), Ordering::Relaxed);
        let away = self.away_until.is_some_and(|until| Instant::now() < until);
        let fails = *self.fails.lock().unwrap();
        let mut failed = None;
        for m in batch.iter() {
            let (key, number) = (m.key().expect("a key"), m.seq());
            if away || fails == Some(number) || failed == Some(key) {
                out.unknown(m, "no answer");
                failed = Some(key);
                continue;
            }
            let before = self.last.lock().unwrap().insert(key.to_owned(), number);
            assert!(before.is_none_or(|before| before < number), "{key}: {number} came behind {before:?}");
            self.stored.fetch_add(1, Ordering::Relaxed);
            out.delivered(m);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_million_messages_wait_an_hour_for_their_broker_in_a_bounded_window() {
    for (order, messages) in [(KeyOrder::Gapless, 1_000_000), (KeyOrder::OneInFlight, 100_000)] {
        let store = Numbers::new(messages, |n| format!("key-{}", n % 1_000));
        let broker = Broker::new(order, Some(Instant::now() + 60 * MINUTE), None);
        let relay = StoreRelay::builder("away", store.clone(), broker.clone()).build().expect("valid settings");
        // Another lane over the same log, whose broker is there.
        let (others, sent) = (Numbers::new(1_000, |n| n.to_string()), MemoryTransport::new());
        let beside = StoreRelay::builder("beside", others, sent.clone()).build().expect("valid settings");
        let tasks = [relay.clone(), beside.clone()]
            .map(|relay| tokio::spawn(async move { relay.run(std::future::pending()).await }));
        let mut most = (0, 0);
        for minute in 0..60 {
            sleep(MINUTE - Duration::from_millis(10)).await;
            let stats = relay.handle().stats();
            most = (most.0.max(stats.window), most.1.max(stats.parked));
            assert_eq!((stats.delivered, stats.failed, stats.dead), (0, 0, 0), "{order:?} in minute {minute}");
        }
        assert!(most.0 <= 20_000 && most.1 == 0, "{order:?}: {most:?} were in the window and parked");
        assert!(store.held() <= 20_000, "{order:?}: {} are out of the store", store.held());
        assert_eq!(sent.take().len(), 1_000, "the other lane went on");
        // What was in flight when it went away, and a probe now and then.
        assert!(broker.handed() < 8 * 500 + 60 * 60, "{order:?}: {} were handed to an absent broker", broker.handed());
        let back = Instant::now();
        while broker.stored() < messages {
            assert!(back.elapsed() < 5 * MINUTE, "{order:?}: {} came in {:?}", broker.stored(), back.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(relay.handle().stats().failed, 0);
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_with_many_messages_behind_a_failed_one_drains_in_order_when_it_is_healed() {
    for (order, messages) in [(KeyOrder::Gapless, 20_000), (KeyOrder::OneInFlight, 200_000)] {
        // Every second one is of the key that fails.
        let store =
            Numbers::new(messages, |n| if n % 2 == 1 { "stuck".to_owned() } else { format!("key-{}", n % 500) });
        let broker = Broker::new(order, None, Some(1));
        let relay = StoreRelay::builder("test", store.clone(), broker.clone()).max_attempts(1_000);
        let relay = relay.build().expect("valid settings");
        let task = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        let begin = Instant::now();
        while broker.stored() < messages / 2 || relay.handle().stats().parked < messages / 2 {
            assert!(begin.elapsed() < 5 * MINUTE, "{order:?}: {:?}", relay.handle().stats());
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(broker.stored(), messages / 2, "{order:?}: nothing of the key went past its first message");
        *broker.fails.lock().unwrap() = None;
        let healed = Instant::now();
        while broker.stored() < messages {
            assert!(healed.elapsed() < 60 * MINUTE, "{order:?}: {:?}", relay.handle().stats());
            sleep(Duration::from_millis(100)).await;
        }
        task.abort();
        assert_eq!(relay.handle().stats().dead, 0);
    }
}
