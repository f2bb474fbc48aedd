//! What messages keep of their rate beside others that wait: over a relay beside which nothing waits, on the same kind
//! of database, round by round. One key waits of which a message fails, with 100,000 behind it; a million messages wait
//! for tomorrow. At the end the failed message is taken, and all of its key has to come, in order.

mod running;
mod site;

use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::report::{Figure, median};
use running::{BAD, Running};
use site::Site;

const BEHIND: usize = 100_000;
const SCHEDULED: usize = 1_000_000;
const ROUNDS: usize = 5;
const TARGET: f64 = 0.95;

pub(crate) async fn run() -> Result<Vec<Figure>> {
    let (postgres, mysql) = (testkit::Postgres::shared().await, testkit::Mysql::own_mysql().await);
    let mut figures = Vec::new();
    for what in [What::Parked, What::Scheduled] {
        let site = async || Site::postgres(&postgres.database().await).await;
        figures.extend(what.contest("Postgres", &site().await?, &site().await?).await?);
        let site = async || Site::mysql(&mysql.database().await).await;
        figures.extend(what.contest("MySQL", &site().await?, &site().await?).await?);
        let site = async |name: &str| Site::sqlite(&format!("{what:?}-{name}")).await;
        figures.extend(what.contest("SQLite", &site("beside").await?, &site("without").await?).await?);
    }
    Ok(figures)
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Parked,
    Scheduled,
}

impl What {
    async fn contest(self, name: &str, full: &Site, free: &Site) -> Result<Vec<Figure>> {
        match self {
            Self::Parked => {
                // One more, which fails; beside some that do not, so that it is no outage.
                let key = |i| if i % 100 == 0 { "good".into() } else { BAD.into() };
                full.insert((BEHIND + 1).div_ceil(99) * 100, key).await?;
            }
            Self::Scheduled => full.schedule(SCHEDULED).await?,
        }
        let (beside, without) = (Running::start(full)?, Running::start(free)?);
        if self == Self::Parked {
            beside.until(|relay| relay.handle.stats().parked > BEHIND).await.context("parked")?;
        }
        let (mut ratios, mut rates, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let (one, two) = (beside.rate(full).await?, without.rate(free).await?);
            // The first round warms the caches up.
            if round > 0 {
                ratios.push(one / two);
                rates.push(one);
                alone.push(two);
            }
        }
        let what = match self {
            Self::Parked => "a key with 100,000 parked",
            Self::Scheduled => "a million scheduled",
        };
        let figure = |what: &str, value, unit, target| Figure { name: format!("{name}: {what}"), value, unit, target };
        let mut figures = vec![
            figure(&format!("beside {what}, over none"), median(&mut ratios), "x", Some(TARGET)),
            figure("beside it", median(&mut rates), "messages/s", None),
            figure("beside none", median(&mut alone), "messages/s", None),
        ];
        if self == Self::Parked {
            ensure!(beside.handle.stats().parked > BEHIND, "what is parked went away");
            beside.to.healed.store(true, Ordering::Relaxed);
            let healed = Instant::now();
            beside.until(|relay| relay.to.seen().bad.len() > BEHIND).await.context("healed")?;
            let drained = BEHIND as f64 / healed.elapsed().as_secs_f64();
            ensure!(beside.to.seen().bad.is_sorted(), "the key drains out of order");
            figures.push(figure("the key, healed", drained, "messages/s", None));
        }
        Ok(figures)
    }
}
