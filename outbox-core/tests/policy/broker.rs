//! A broker that does what a test says, and a relay to it under the paused clock.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    Batch, KeyOrder, Message, MessageRef, Observer, Outcomes, RelayBuilder, RelayEvent, StoreRelay, Transport,
    TransportCapabilities, async_trait,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const BOTH: [KeyOrder; 2] = [KeyOrder::OneInFlight, KeyOrder::Gapless];

/// What the broker says of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    Yes,
    Nothing,
    Never,
    NoTopic,
}

type Script = dyn Fn(&MessageRef<'_>, u32) -> Say + Send + Sync;

/// `script` is asked with the message and the number of its attempt, from 1.
#[derive(Clone)]
pub(crate) struct Broker {
    order: KeyOrder,
    script: Arc<Script>,
    attempts: Arc<Mutex<HashMap<String, u32>>>,
    stored: Arc<Mutex<Vec<String>>>,
    events: Arc<Mutex<Vec<RelayEvent>>>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    pub(crate) fn new(order: KeyOrder, script: impl Fn(&MessageRef<'_>, u32) -> Say + Send + Sync + 'static) -> Self {
        let (attempts, stored, events) = Default::default();
        Self { order, script: Arc::new(script), attempts, stored, events }
    }

    pub(crate) fn relay(&self, store: &MemoryStore) -> RelayBuilder {
        StoreRelay::builder("test", store.clone(), self.clone()).retry(SECOND, SECOND * 4).observer(self.clone())
    }

    /// The texts in the order in which they were stored.
    pub(crate) fn stored(&self) -> Vec<String> {
        self.stored.lock().unwrap().clone()
    }

    pub(crate) fn attempts(&self, text: &str) -> u32 {
        self.attempts.lock().unwrap().get(text).copied().unwrap_or(0)
    }

    pub(crate) fn events(&self) -> Vec<RelayEvent> {
        self.events.lock().unwrap().clone()
    }
}

impl Observer for Broker {
    fn on_event(&self, _: &str, event: &RelayEvent) {
        self.events.lock().unwrap().push(event.clone());
    }
}

#[async_trait]
impl Transport for Broker {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(self.order)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let mut broken = Vec::new();
        for m in batch.iter() {
            let text = String::from_utf8_lossy(m.payload()).into_owned();
            // Where many of a key may be in flight, nothing is stored behind one that was not.
            if self.order == KeyOrder::Gapless && m.key().is_some_and(|key| broken.contains(&key.to_owned())) {
                continue;
            }
            let attempt = *self.attempts.lock().unwrap().entry(text.clone()).and_modify(|n| *n += 1).or_insert(1);
            match (self.script)(&m, attempt) {
                Say::Yes => {
                    self.stored.lock().unwrap().push(text);
                    out.delivered(m);
                    continue;
                }
                Say::Nothing => out.unknown(m, "no answer"),
                Say::Never => out.reject(m, "never"),
                Say::NoTopic => out.destination(m, "no such topic"),
            }
            broken.extend(m.key().map(str::to_owned));
        }
    }
}

/// Messages of one transaction: `text` is topic, event type, key and payload, such as `"t e k 1"`; key `-` is none.
pub(crate) fn enqueue<'a>(store: &MemoryStore, texts: impl IntoIterator<Item = &'a str>) {
    let mut tx = store.begin();
    for text in texts {
        let parts: Vec<&str> = text.split(' ').collect();
        let [topic, event_type, key, payload] = parts[..] else { panic!("{text}: four words") };
        let message = Message::new(topic, event_type).text(payload);
        tx.enqueue(if key == "-" { message } else { message.key(key) }).expect("valid");
    }
    tx.commit();
}

/// Looks again while the paused clock moves on.
pub(crate) async fn until(what: impl Fn() -> bool) {
    let looks = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SECOND * 3_600, looks).await.expect("never came");
}
