use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outbox_conformance::{Expected, Ledger};
use outbox_core::Message;
use stores::{Client, Load, Site, Writer, Written};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Messages of one burst, ...
const BURST: usize = 40;
/// ... and the rest behind it: some 200 messages a second.
const REST: Duration = Duration::from_millis(150);

/// Writers that go on until they are told to stop, in bursts.
#[derive(Debug)]
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    writers: JoinHandle<Written>,
}

impl Traffic {
    pub(super) fn start(site: &impl Site, ledger: &Arc<Ledger>, load: Load) -> Self {
        let (site, ledger, stop) = (site.clone(), ledger.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let writers = tokio::spawn(async move {
            let mut all = Written::default();
            for burst in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let load = Load { messages: BURST, seed: load.seed.wrapping_add(burst * 1_000), ..load };
                let written = load.run(&site, &ledger).await;
                all.ids.extend(written.ids);
                all.rolled_back += written.rolled_back;
                all.failed = (all.failed.0 + written.failed.0, all.failed.1.or(written.failed.1));
                sleep(REST).await;
            }
            all
        });
        Self { stop, writers }
    }

    /// Returns when the last transaction has ended.
    pub(super) async fn stop(self) -> anyhow::Result<Written> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.writers.await?)
    }
}

/// Writes two messages past the proxy, again and again until that has worked.
pub(super) async fn probe(url: &str, topic: &str, ledger: &Ledger) {
    for attempt in 0_u64.. {
        let message = |n: u64| {
            let message = Message::new(topic, "probe").key("probe").text(n.to_string());
            let expected = Expected::new(message.id, &message.payload).key("probe").order(n);
            (message, expected)
        };
        let (messages, expected): (Vec<_>, Vec<_>) = [2 * attempt, 2 * attempt + 1].map(message).into_iter().unzip();
        let written = timeout(Duration::from_secs(5), Writer::Of(Client::Sqlx).write(url, messages)).await;
        let done = matches!(written, Ok(Ok(())));
        for expected in expected {
            if done {
                ledger.committed(&expected);
            } else {
                // Whether it was committed is not known.
                ledger.undone(&expected.id);
            }
        }
        if done {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
