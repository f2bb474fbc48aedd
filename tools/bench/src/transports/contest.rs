use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use outbox::{Batch, Outcomes, Relay, StoreRelay, Transport, async_trait};

use super::cpu;
use super::source::{Source, messages};
use crate::report::{Figure, median};

const ROUNDS: usize = 5;
const MANY: usize = 1_000;
const TARGET: f64 = 0.8;
const SOON: Duration = Duration::from_secs(120);

/// A transport against its bare client, on a broker of their own.
#[async_trait]
pub(crate) trait Contest: Sync {
    fn name(&self) -> &'static str;

    /// Messages of a round, with many keys and with one.
    fn sizes(&self) -> (usize, usize);

    /// Whether the ratio with one key has a target.
    fn target_with_one_key(&self) -> bool;

    /// A new place for messages, and the topic that leads there.
    async fn place(&self, name: &str) -> Result<String>;

    /// How many messages are there.
    async fn stored(&self, topic: &str) -> Result<u64>;

    /// Throws away what is there, where much of it would make the broker slow.
    async fn empty(&self, topic: &str) -> Result<()>;

    /// A new transport.
    async fn transport(&self) -> Result<Arc<dyn Transport>>;

    /// A new bare client. With `one_key` it may have one message under way, unless the transport may have more.
    async fn bare(&self, one_key: bool) -> Result<Box<dyn Bare>>;
}

/// A client that publishes and waits for every confirmation.
#[async_trait]
pub(crate) trait Bare: Send {
    async fn publish(&mut self, batches: Vec<Batch>) -> Result<()>;
}

/// One side's rounds.
#[derive(Default)]
struct Side {
    rates: Vec<f64>,
    cpu: Duration,
}

impl Side {
    fn add(&mut self, count: usize, took: Duration, cpu: Duration) {
        self.rates.push(count as f64 / took.as_secs_f64());
        self.cpu += cpu;
    }
}

pub(crate) async fn figures(contest: &dyn Contest) -> Result<Vec<Figure>> {
    let (many, one) = contest.sizes();
    let mut all = rounds(contest, MANY, many, Some(TARGET)).await?;
    all.extend(rounds(contest, 1, one, contest.target_with_one_key().then_some(TARGET)).await?);
    Ok(all)
}

async fn rounds(contest: &dyn Contest, keys: usize, count: usize, target: Option<f64>) -> Result<Vec<Figure>> {
    let topic = contest.place(&format!("bench-{keys}")).await?;
    let (mut bare, mut ours, mut ratios) = (Side::default(), Side::default(), Vec::new());
    for round in 0..=ROUNDS {
        let mut took = [Duration::ZERO; 2];
        // Each goes first every other time.
        for side in [round % 2, (round + 1) % 2] {
            let before = contest.stored(&topic).await?;
            let (first, batches) = (messages(&topic, keys, 1)?, messages(&topic, keys, count)?);
            let (spent, cpu) = if side == 0 {
                bare_round(contest, keys, first, batches).await?
            } else {
                relay_round(contest, count, first, batches).await?
            };
            let added = contest.stored(&topic).await? - before;
            ensure!(added == count as u64 + 1, "{} of {count} messages are stored (and one before)", added - 1);
            contest.empty(&topic).await?;
            took[side] = spent;
            // The first round warms everything up.
            if round > 0 {
                (if side == 0 { &mut bare } else { &mut ours }).add(count, spent, cpu);
            }
        }
        if round > 0 {
            ratios.push(took[0].as_secs_f64() / took[1].as_secs_f64());
        }
    }
    let keys = if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") };
    let figure = |what: &str, value, unit, target| Figure {
        name: format!("{}, {keys}: {what}", contest.name()),
        value,
        unit,
        target,
    };
    let each = |side: &Side| side.cpu.as_secs_f64() * 1e6 / (count * ROUNDS) as f64;
    let (bare_cpu, our_cpu) = (each(&bare), each(&ours));
    Ok(vec![
        figure("transport over bare client", median(&mut ratios), "x", target),
        figure("bare client", median(&mut bare.rates), "messages/s", None),
        figure("transport", median(&mut ours.rates), "messages/s", None),
        figure("CPU of the bare client", bare_cpu, "us/message", None),
        figure("CPU of relay and transport", our_cpu, "us/message", None),
    ])
}

async fn bare_round(
    contest: &dyn Contest,
    keys: usize,
    first: Vec<Batch>,
    batches: Vec<Batch>,
) -> Result<(Duration, Duration)> {
    let mut client = contest.bare(keys == 1).await?;
    client.publish(first).await?;
    let (started, cpu) = (Instant::now(), cpu::used()?);
    client.publish(batches).await?;
    Ok((started.elapsed(), cpu::used()? - cpu))
}

async fn relay_round(
    contest: &dyn Contest,
    count: usize,
    first: Vec<Batch>,
    batches: Vec<Batch>,
) -> Result<(Duration, Duration)> {
    let transport = contest.transport().await?;
    for batch in first {
        let out = Outcomes::new(batch.len());
        transport.publish(batch, &out).await;
        ensure!(matches!(out.get(0), outbox::transport::Outcome::Delivered), "not delivered: {:?}", out.get(0));
    }
    let relay = StoreRelay::builder("bench", Source::new(batches), transport).build()?;
    let (started, cpu) = (Instant::now(), cpu::used()?);
    let delivered = relay.until_drained(SOON).await?;
    let spent = (started.elapsed(), cpu::used()? - cpu);
    ensure!(delivered == count as u64, "{delivered} of {count} delivered");
    Ok(spent)
}
