use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::{join_all, try_join_all};
use outbox_conformance::Ledger;
use outbox_core::{Relay, RelayError, RelayHandle};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cell::WINDOW;
use crate::load::{Load, Phase, WRITERS};
use crate::{Broker, Cell, Databases, MESSAGES, Store};

/// Messages of one publish.
const BATCH: usize = 50;
/// Leaves a slow machine time, and ends a publish to a broker that is gone.
const DEADLINE: Duration = Duration::from_secs(5);
/// What a pairing delivers, on an average, between half of its messages and the fault.
const UNDER_WAY: usize = 50;
/// Where a step takes longer, something is wrong.
const PATIENCE: Duration = Duration::from_secs(90);

/// One store with the broker.
struct Pairing {
    store: Store,
    url: String,
    topic: String,
    ledger: Arc<Ledger>,
    handle: RelayHandle,
    stop: Arc<Notify>,
    relay: JoinHandle<Result<(), RelayError>>,
}

/// All these stores deliver to the broker at the same time, each to a place of its own. The broker fails in the middle.
///
/// # Errors
/// Those of databases, and of steps that take too long. What went wrong with the messages is said by the cells.
pub async fn run(broker: &dyn Broker, databases: &Databases, stores: &[Store], seed: u64) -> anyhow::Result<Vec<Cell>> {
    let start = stores.iter().map(|store| Pairing::start(*store, broker, databases));
    let pairings = try_join_all(start).await.context("the relays")?;
    let (phase, phases) = watch::channel(Phase::First);
    let (half, mut halves) = mpsc::channel(1);
    let writing = pairings.iter().enumerate().map(|(n, p)| {
        let seed = seed.wrapping_add((n * WRITERS) as u64);
        p.write(databases, seed, phases.clone(), half.clone())
    });
    let writing = join_all(writing);
    drop((phases, half));
    let fail = async {
        // Every writer drops its end when half of its messages are there.
        _ = halves.recv().await;
        let delivers = |p: &Pairing| p.handle.stats().delivered > 0;
        wait(|| pairings.iter().all(delivers), "not every pairing delivers").await?;
        let delivered = || pairings.iter().map(|p| p.handle.stats().delivered);
        let first: u64 = delivered().sum();
        phase.send_replace(Phase::UnderWay);
        let enough = first + (pairings.len() * UNDER_WAY) as u64;
        wait(|| delivered().sum::<u64>() >= enough, "nothing more is delivered").await?;
        broker.fail().await;
        let before: Vec<u64> = delivered().collect();
        phase.send_replace(Phase::Away);
        anyhow::Ok(before)
    };
    let (written, before) = tokio::join!(writing, fail);
    let before = before?;
    let rolled_back = written.into_iter().collect::<anyhow::Result<Vec<_>>>().context("the writers")?;
    let noticed = |p: &Pairing| p.handle.stats().outages > 0;
    // A relay that does not notice is said by its cell.
    _ = wait(|| pairings.iter().all(noticed), "").await;
    broker.recover().await;

    let back = Instant::now();
    let drained = join_all(pairings.iter().map(|p| p.drained(back))).await;
    let mut cells = Vec::new();
    for (n, pairing) in pairings.into_iter().enumerate() {
        let cell = pairing.end(broker, databases, rolled_back[n], before[n], drained[n]);
        cells.push(cell.await.with_context(|| format!("{} to {}", stores[n], broker.name()))?);
    }
    Ok(cells)
}

impl Pairing {
    async fn start(store: Store, broker: &dyn Broker, databases: &Databases) -> anyhow::Result<Self> {
        let name = format!("pair-{}", store.slug());
        let url = databases.fresh(store, &format!("{}-{name}", broker.name())).await?;
        let topic = broker.place(&name).await?;
        let relay = stores::relay(store.client, &url, broker.transport().await?)?
            .batch(BATCH)
            .window(WINDOW, 64 << 20)
            .publish_deadline(DEADLINE)
            .retry(Duration::from_millis(100), Duration::from_secs(1))
            .outage(Duration::from_millis(100), Duration::from_secs(1))
            .build()?;
        let (handle, stop) = (relay.handle(), Arc::new(Notify::new()));
        let stopped = stop.clone();
        let relay = tokio::spawn(async move { relay.run_until(Box::pin(stopped.notified_owned())).await });
        Ok(Self { store, url, topic, ledger: Arc::default(), handle, stop, relay })
    }

    /// Gives how many transactions were rolled back.
    async fn write(
        &self,
        databases: &Databases,
        seed: u64,
        phase: watch::Receiver<Phase>,
        half: mpsc::Sender<()>,
    ) -> anyhow::Result<usize> {
        let writers = (0..WRITERS).map(|number| {
            let (seed, ledger, topic) = (seed.wrapping_add(number as u64), self.ledger.clone(), self.topic.clone());
            let (phase, half) = (phase.clone(), half.clone());
            async move {
                let mut writer = databases.writer(self.store, &self.url).await?;
                Load { topic, number, seed, ledger }.run(&mut *writer, phase, half).await
            }
        });
        let writers = writers.collect::<Vec<_>>();
        drop(half);
        let rolled_back = try_join_all(writers).await.with_context(|| self.store.to_string())?;
        Ok(rolled_back.iter().sum())
    }

    /// How long after `back` everything is delivered; `None` if it takes too long.
    async fn drained(&self, back: Instant) -> Option<Duration> {
        let all = || {
            let stats = self.handle.stats();
            stats.delivered + stats.dead >= MESSAGES as u64 && stats.window == 0
        };
        wait(all, "").await.ok().map(|()| back.elapsed())
    }

    /// Stops the relay, reads back, judges.
    async fn end(
        self,
        broker: &dyn Broker,
        databases: &Databases,
        rolled_back: usize,
        before: u64,
        drained: Option<Duration>,
    ) -> anyhow::Result<Cell> {
        let outages = self.handle.stats().outages;
        self.stop.notify_one();
        self.relay.await?.context("the relay")?;
        for copy in broker.read(&self.topic).await? {
            self.ledger.received(copy.id, copy.key.as_deref(), copy.payload.as_bytes());
        }
        let status = databases.writer(self.store, &self.url).await?.status().await?;
        ensure!(status.len() == 1, "{} relays, not one", status.len());
        Ok(Cell {
            store: self.store,
            transport: broker.name(),
            fault: broker.fault(),
            verdict: self.ledger.check(),
            rolled_back,
            before,
            outages,
            dead: status[0].dead,
            waiting: status[0].waiting + status[0].parked,
            drained,
        })
    }
}

/// Looks again and again until it holds.
async fn wait(holds: impl Fn() -> bool, otherwise: &str) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        ensure!(Instant::now() < end, "not within {PATIENCE:?}: {otherwise}");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
