use std::sync::Arc;

use async_trait::async_trait;
use outbox_core::Wakeups;
use tokio::sync::watch;

use crate::doorbell::{Doorbell, Listening};
use crate::{Driver, Names};

/// Tells the relays of this process, and those of others through a doorbell, that there may be new messages. Cheap to
/// clone; all clones are one signal.
#[derive(Debug, Clone)]
pub struct Signal {
    local: watch::Sender<u64>,
    doorbell: Option<Arc<Doorbell>>,
}

impl Default for Signal {
    fn default() -> Self {
        Self { local: watch::Sender::new(0), doorbell: None }
    }
}

impl Signal {
    /// Gives it a doorbell: `driver` opens the connections that ring, and [listens](Driver::listen). They are opened
    /// when they are first needed, and end with the last clone of this signal, or the last relay that listens.
    #[must_use]
    pub fn doorbell(mut self, driver: Arc<dyn Driver>, names: &Names) -> Self {
        self.doorbell = Some(Arc::new(Doorbell::new(driver, names, self.local.clone())));
        self
    }

    /// The same doorbell for tables of other names.
    #[must_use]
    pub fn renamed(mut self, names: &Names) -> Self {
        self.doorbell = self.doorbell.map(|bell| Arc::new(bell.renamed(names)));
        self
    }

    /// Wakes the relays of this process: those that wait, and those that wait next if they have not seen this one. For
    /// a message that may be committed soon.
    pub fn wake(&self) {
        wake(&self.local);
    }

    /// As [`wake`](Self::wake), and rings the doorbell. For a message that was committed. Never waits; outside a tokio
    /// runtime the ring waits for the next one inside.
    pub fn ring(&self) {
        self.wake();
        if let Some(bell) = &self.doorbell {
            bell.ring();
        }
    }

    /// The side of a relay.
    pub(crate) fn listen(&self) -> Box<dyn Wakeups> {
        let listening = self.doorbell.as_ref().and_then(|bell| bell.listen());
        Box::new(Listener { signal: self.local.subscribe(), _listening: listening })
    }
}

pub(crate) fn wake(local: &watch::Sender<u64>) {
    local.send_modify(|n| *n = n.wrapping_add(1));
}

#[derive(Debug)]
struct Listener {
    signal: watch::Receiver<u64>,
    /// What the doorbell hears becomes a signal as long as somebody waits for it.
    _listening: Option<Arc<Listening>>,
}

#[async_trait]
impl Wakeups for Listener {
    async fn wait(&mut self) {
        if self.signal.changed().await.is_err() {
            // Nobody is left who could signal.
            std::future::pending::<()>().await;
        }
    }
}
