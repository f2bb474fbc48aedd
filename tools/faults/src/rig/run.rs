use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::FutureExt;
use outbox_conformance::Ledger;
use outbox_sql::RelayStatus;
use rand::SeedableRng;
use rand::rngs::StdRng;
use stores::{Load, MysqlSite, PgSite, Site, SqliteSite};
use tokio::time::{sleep, timeout};

use super::broker::Broker;
use super::database::Database;
use super::relays::{Relays, Start, tail};
use super::strike::{Over, Stage, trap};
use super::traffic::{Traffic, probe};
use crate::{BrokerKind, Bug, Cell, DatabaseKind, Fault, Task};

/// Writers side by side, and their connections.
const WRITERS: usize = 4;
/// A recovery that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same where something is expected to be missing.
const PATIENCE_WITH_BUG: Duration = Duration::from_secs(5);
/// Of so few messages a run shows little: ...
const ENOUGH: usize = 200;
/// ... they go on, and by so many behind a recovery, so that its order is seen.
const AFTERWARDS: usize = 100;
/// Until RabbitMQ knows a new queue for good.
const NEW_QUEUE: Duration = Duration::from_secs(4);
/// How often the outbox is asked.
const ASK: Duration = Duration::from_millis(50);
/// Makes a small disk too small within a second.
const PADDING: usize = 4_000;
/// The same where files grow by megabytes.
const MYSQL_PADDING: usize = 40_000;

/// Runs cells, one after the other, on servers of its own, which it keeps.
#[derive(Debug)]
pub struct Rig {
    program: PathBuf,
    databases: Vec<(DatabaseKind, Database)>,
    brokers: Vec<(BrokerKind, Broker)>,
    cells: usize,
}

impl Rig {
    /// `program` is `env!("CARGO_BIN_EXE_faults-relay")`.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self { program: program.into(), databases: Vec::new(), brokers: Vec::new(), cells: 0 }
    }

    /// Runs one cell. What went wrong is in it. A full disk that hits nothing, or ends the database itself, shows
    /// nothing: it is run again with the next seed, twice at most.
    pub async fn run(&mut self, mut task: Task, bug: Option<Bug>) -> Cell {
        for _ in 0..2 {
            let cell = self.once(task, bug).await;
            if task.fault != Fault::DatabaseFull || cell.error.is_none() && cell.noticed {
                return cell;
            }
            task.seed = task.seed.wrapping_add(1);
        }
        self.once(task, bug).await
    }

    async fn once(&mut self, task: Task, bug: Option<Bug>) -> Cell {
        self.cells += 1;
        let started = Instant::now();
        let mut cell = Cell::new(task);
        // Servers that a failed cell leaves behind may be broken.
        let database = self.databases.iter().position(|(kind, _)| *kind == task.database);
        let database = database.map(|i| self.databases.swap_remove(i).1);
        let broker = self.brokers.iter().position(|(kind, _)| *kind == task.broker);
        let broker = broker.map(|i| self.brokers.swap_remove(i).1);
        // The testkit panics where a server fails; the other cells can be run all the same.
        match AssertUnwindSafe(self.on_servers(task, bug, database, broker, &mut cell)).catch_unwind().await {
            Ok(Ok((database, broker))) => {
                self.databases.extend(database.map(|database| (task.database, database)));
                self.brokers.push((task.broker, broker));
            }
            Ok(Err(e)) => cell.error = Some(format!("{e:#}")),
            Err(_) => cell.error = Some("it panicked, see above".to_owned()),
        }
        cell.took = started.elapsed();
        cell
    }

    /// Gives the servers back that are fit for further cells.
    async fn on_servers(
        &self,
        task: Task,
        bug: Option<Bug>,
        database: Option<Database>,
        broker: Option<Broker>,
        cell: &mut Cell,
    ) -> anyhow::Result<(Option<Database>, Broker)> {
        let (mut kept, full) = (database, task.fault == Fault::DatabaseFull);
        let small;
        let database = if full {
            small = Database::start(task.database, task.fault).await?;
            &small
        } else {
            if kept.is_none() {
                kept = Some(Database::start(task.database, task.fault).await?);
            }
            kept.as_ref().context("the database")?
        };
        let broker = match broker {
            Some(broker) => broker,
            None => Broker::start(task.broker).await?,
        };
        let name = format!("faults-{}", self.cells);
        let (url, direct) = database.fresh(&name).await;
        let connections = u32::try_from(WRITERS)? + 2;
        let place = Place { program: self.program.clone(), database, broker: &broker, direct, name, task, bug };
        match task.database {
            DatabaseKind::Postgres => place.run(PgSite::new(url, connections).await?, cell).await?,
            DatabaseKind::Mysql => place.run(MysqlSite::new(url, connections).await?, cell).await?,
            DatabaseKind::Sqlite => {
                let file = url.trim_start_matches("sqlite://");
                place.run(SqliteSite::new(file.as_ref(), connections).await?, cell).await?;
            }
        }
        Ok((kept, broker))
    }
}

/// Where a cell takes place.
struct Place<'a> {
    program: PathBuf,
    database: &'a Database,
    broker: &'a Broker,
    /// Of the database, past the proxy.
    direct: String,
    name: String,
    task: Task,
    bug: Option<Bug>,
}

impl Place<'_> {
    async fn run(self, site: impl Site, cell: &mut Cell) -> anyhow::Result<()> {
        let (fault, mut rng) = (self.task.fault, StdRng::seed_from_u64(self.task.seed));
        let topic: &'static str = self.broker.direct().place(&self.name).await?.leak();
        if fault == Fault::BrokerKilled && self.task.broker == BrokerKind::RabbitMq {
            // RabbitMQ puts on its disk which quorum queues it has when it has been quiet for a moment. Killed before,
            // it starts with an empty one under the same name, which answers nobody.
            sleep(NEW_QUEUE).await;
        }
        let trap = trap(fault, &mut rng);
        cell.trap = trap.to_string();
        let start = Start {
            program: self.program,
            database: site.url().to_owned(),
            broker: self.broker.url(),
            trap: Some(trap),
            refuses: fault == Fault::KilledWithParked,
            bug: self.bug,
        };
        let mut relays = Relays::start(&start).await;
        let ledger = Arc::new(Ledger::new());
        let bytes = match self.task.database {
            _ if fault != Fault::DatabaseFull => 0,
            DatabaseKind::Mysql => MYSQL_PADDING,
            DatabaseKind::Postgres | DatabaseKind::Sqlite => PADDING,
        };
        let load = Load { topic, bytes, writers: WRITERS, seed: self.task.seed, faults: true, ..Load::default() };
        let traffic = Traffic::start(&site, &ledger, load);

        let stage = Stage { site: &site, database: self.database, broker: self.broker, topic, fault };
        let over = stage.strike(&mut relays, &mut rng).await?;
        let patience = if self.bug.is_some() { PATIENCE_WITH_BUG } else { PATIENCE };
        cell.recovery = recovery(&site, fault, &relays, over, (&self.direct, topic, &ledger), patience).await;
        stage.aftermath(&mut relays, over).await.with_context(|| relays_said(&relays))?;
        let enough = ledger.check().committed.max(ENOUGH) + AFTERWARDS;
        let end = Instant::now() + PATIENCE;
        while ledger.check().committed < enough && Instant::now() < end {
            sleep(ASK).await;
        }
        let written = traffic.stop().await?;
        cell.noticed = match fault {
            Fault::DatabaseFull => written.failed.0 > 0,
            Fault::DatabaseCut | Fault::DatabaseKilled | Fault::DatabaseFrozen => relays.said("Lost"),
            fault if fault.of_a_broker() => relays.said("Outage"),
            // Seen by what the processes did.
            _ => true,
        };
        let left = outbox(&site, patience, |found| found.waiting == 0).await;
        (cell.waiting, cell.dead) = (left.waiting, left.dead);
        cell.acquired = relays.acquired();
        let gone = matches!(trap.act, crate::Act::Kill | crate::Act::Terminate);
        cell.said = relays_said(&relays);
        relays.stop(gone).await?;
        for copy in self.broker.direct().read(topic).await? {
            ledger.received(copy.id, copy.key.as_deref(), copy.payload.as_bytes());
        }
        cell.verdict = ledger.check();
        Ok(())
    }
}

/// From the end of the fault to the acknowledgement of what was written behind it.
async fn recovery(
    site: &impl Site,
    fault: Fault,
    relays: &Relays,
    over: Over,
    (direct, topic, ledger): (&str, &str, &Ledger),
    patience: Duration,
) -> Option<Duration> {
    let written = timeout(patience, probe(direct, topic, ledger));
    let (written, acknowledged) = tokio::join!(written, relays.acknowledged(over.micros, patience));
    written.ok()?;
    let mut at = acknowledged?;
    if fault == Fault::Poison {
        let found = outbox(site, patience, |found| found.dead == 1).await;
        at = (found.dead == 1).then(Instant::now)?;
    }
    Some(at.saturating_duration_since(over.at))
}

/// What the outbox says of its only relay.
#[derive(Debug, Clone, Copy)]
struct Found {
    waiting: i64,
    dead: i64,
}

/// Asks until that is enough, or the patience is at its end.
async fn outbox(site: &impl Site, patience: Duration, enough: impl Fn(&Found) -> bool) -> Found {
    let end = Instant::now() + patience;
    let sum = |all: Vec<RelayStatus>| Found {
        waiting: all.iter().map(|relay| relay.waiting + relay.parked).sum(),
        dead: all.iter().map(|relay| relay.dead).sum(),
    };
    let mut last = Found { waiting: -1, dead: -1 };
    while Instant::now() < end {
        // The database may still be coming back.
        if let Ok(Ok(status)) = timeout(patience, site.status()).await {
            last = sum(status);
        }
        if enough(&last) {
            break;
        }
        sleep(ASK).await;
    }
    last
}

fn relays_said(relays: &Relays) -> String {
    format!("the holder said:\n{}\nthe standby said:\n{}", tail(&relays.holder), tail(&relays.standby))
}
