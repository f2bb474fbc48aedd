use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outbox_core::{Batch, MessageRef, Outcomes, Transport, TransportCapabilities, async_trait};
use stores::Delivery;

use super::Broker;

/// What may be wrong with a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Says of a message that it was delivered, and publishes nothing.
    Loses,
    /// Publishes a message behind the next one of its key.
    Swaps,
    /// Publishes another payload.
    Changes,
    /// Publishes what nobody wrote.
    Invents,
    /// Rejects a message that the broker would take.
    Rejects,
    /// Says of a message that was published that it does not know: what an acknowledgement that gets lost does. This is
    /// no mistake, but the reason for duplicates.
    Forgets,
}

/// One in so many messages meets the mistake.
const EVERY: usize = 300;

/// A broker in memory, to see what a run says of a transport with a mistake.
#[derive(Debug, Clone)]
pub struct MemoryBroker {
    planted: Option<Planted>,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    away: bool,
    seen: usize,
    stored: HashMap<String, Vec<Delivery>>,
    held_back: Vec<(String, Delivery)>,
}

impl MemoryBroker {
    /// With this mistake, or none.
    #[must_use]
    pub fn new(planted: Option<Planted>) -> Self {
        Self { planted, shelf: Arc::default() }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn fault(&self) -> &'static str {
        "away"
    }

    async fn place(&self, name: &str) -> anyhow::Result<String> {
        Ok(name.to_owned())
    }

    async fn transport(&self) -> anyhow::Result<Box<dyn Transport>> {
        Ok(Box::new(self.clone()))
    }

    async fn fail(&self) {
        self.shelf().away = true;
    }

    async fn recover(&self) {
        self.shelf().away = false;
    }

    async fn read(&self, topic: &str) -> anyhow::Result<Vec<Delivery>> {
        let mut shelf = self.shelf();
        let mut read = shelf.stored.remove(topic).unwrap_or_default();
        // What was the last of its key has nothing to come behind.
        read.extend(shelf.held_back.extract_if(.., |(of, _)| of == topic).map(|(_, held)| held));
        Ok(read)
    }
}

#[async_trait]
impl Transport for MemoryBroker {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        // Another task gets its turn, as with a broker that has to be waited for.
        tokio::task::yield_now().await;
        let mut shelf = self.shelf();
        for m in batch.iter() {
            if shelf.away {
                out.unknown(m, "the broker is away");
                continue;
            }
            shelf.seen += 1;
            let planted = self.planted.filter(|_| shelf.seen.is_multiple_of(EVERY));
            if planted == Some(Planted::Rejects) {
                out.reject(m, "not wanted");
            } else {
                shelf.publish(&m, planted);
                match planted {
                    Some(Planted::Forgets) => out.unknown(m, "the acknowledgement is lost"),
                    _ => out.delivered(m),
                }
            }
        }
    }
}

impl Shelf {
    fn publish(&mut self, m: &MessageRef<'_>, planted: Option<Planted>) {
        let payload = String::from_utf8_lossy(m.payload()).into_owned();
        let mut delivery = Delivery { id: m.id().to_string(), key: m.key().map(str::to_owned), payload };
        let stored = self.stored.entry(m.topic().to_owned()).or_default();
        match planted {
            Some(Planted::Loses) => return,
            Some(Planted::Swaps) => return self.held_back.push((m.topic().to_owned(), delivery)),
            Some(Planted::Changes) => delivery.payload.push('!'),
            Some(Planted::Invents) => stored.push(Delivery { id: "nobody's".into(), ..delivery.clone() }),
            Some(Planted::Rejects | Planted::Forgets) | None => {}
        }
        let behind = |(topic, held): &mut (String, Delivery)| topic == m.topic() && held.key == delivery.key;
        let late: Vec<_> = self.held_back.extract_if(.., behind).map(|(_, held)| held).collect();
        stored.push(delivery);
        stored.extend(late);
    }
}
