use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outbox::{
    Batch, KeyOrder, Outcomes, Relay, RelayHandle, StoreRelay, Transport, TransportCapabilities, async_trait,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::site::Site;

/// Messages of a round.
const ROWS: usize = 100_000;
const BATCH: usize = 1_000;
/// Of these, more than a window, which may be filled before the first one goes: they are not counted.
const AHEAD: usize = 30_000;
const PATIENCE: Duration = Duration::from_secs(300);
/// The key of which nothing is taken until it is healed.
pub(super) const BAD: &str = "bad";

/// A relay at work.
pub(super) struct Running {
    pub(super) to: To,
    pub(super) handle: RelayHandle,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(super) fn start(site: &Site) -> Result<Self> {
        let to = To::default();
        let second = Duration::from_secs(1);
        let relay = StoreRelay::builder("bench", site.store.clone(), to.clone()).batch(BATCH);
        let relay = relay.retry(second, second).max_attempts(1_000_000).build()?;
        let handle = relay.handle();
        let task = async move { _ = relay.run(std::future::pending()).await };
        Ok(Self { to, handle, task: tokio::spawn(task) })
    }

    pub(super) async fn until(&self, done: impl Fn(&Self) -> bool) -> Result<()> {
        let looks = async {
            while !done(self) {
                _ = timeout(Duration::from_millis(5), self.to.news.notified()).await;
            }
        };
        Ok(timeout(PATIENCE, looks).await?)
    }

    /// Of the other keys, without those that may have been read ahead.
    pub(super) async fn rate(&self, site: &Site) -> Result<f64> {
        *self.to.seen() = Seen::default();
        site.insert(ROWS, |i| format!("key-{}", i % 1_000)).await?;
        self.until(|relay| relay.to.seen().others >= ROWS).await?;
        let ((before, first), last) = self.to.seen().between.context("nothing came")?;
        Ok((ROWS - before) as f64 / (last - first).as_secs_f64())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes everything at once, but the key that is bad.
#[derive(Debug, Clone, Default)]
pub(super) struct To {
    pub(super) healed: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    others: usize,
    /// How many there were when the count began, and when; and when the last one came.
    between: Option<((usize, Instant), Instant)>,
    /// Numbers of the bad key's messages.
    pub(super) bad: Vec<i64>,
}

impl To {
    pub(super) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for To {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(KeyOrder::Gapless)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let healed = self.healed.load(Ordering::Relaxed);
        let mut seen = self.seen();
        for m in batch.iter() {
            if m.key() != Some(BAD) {
                seen.others += 1;
            } else if healed {
                seen.bad.push(m.seq());
            } else {
                out.unknown(m, "it is bad");
                continue;
            }
            out.delivered(m);
        }
        if seen.others > AHEAD {
            let now = Instant::now();
            seen.between = Some((seen.between.map_or((seen.others, now), |(first, _)| first), now));
        }
        self.news.notify_one();
    }
}
