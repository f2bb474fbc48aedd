use async_trait::async_trait;
use outbox_core::Wakeups;
use tokio::sync::watch;

/// Tells the relays of this process that there may be new messages. Cheap to clone; all clones are one signal.
#[derive(Debug, Clone)]
pub struct Signal(watch::Sender<u64>);

impl Default for Signal {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Signal {
    /// Wakes whoever waits, and whoever waits next if it has not seen this one.
    pub fn wake(&self) {
        self.0.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// The side of a relay.
    pub(crate) fn listen(&self) -> Box<dyn Wakeups> {
        Box::new(Listener(self.0.subscribe()))
    }
}

#[derive(Debug)]
struct Listener(watch::Receiver<u64>);

#[async_trait]
impl Wakeups for Listener {
    async fn wait(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left who could signal.
            std::future::pending::<()>().await;
        }
    }
}
