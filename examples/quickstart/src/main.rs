//! An order service with an outbox: each order and its event are one SQLite transaction, a relay carries the events.
//!
//!     cargo run -p quickstart                             no server: events are printed
//!     cargo run -p quickstart -- --crash                  the relay is killed half-way, and started again
//!     cargo run -p quickstart -- --kafka localhost:9092   events go to the topic "orders"

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use outbox::kafka::{KafkaConfig, KafkaTransport};
use outbox::sqlx::Sqlite;
use outbox::transport::Outcome;
use outbox::{Batch, Event, Outcomes, Relay, StoreRelay, Transport, TransportCapabilities, async_trait};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::io::{AsyncBufReadExt, BufReader};

#[derive(Debug, Clone, Parser)]
struct Args {
    /// Send the events to this Kafka, into the topic "orders".
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Kill the relay half-way and start it again.
    #[arg(long)]
    crash: bool,
    /// How many orders.
    #[arg(long, default_value_t = 30)]
    orders: u64,
    /// What the relay process of --crash is started with.
    #[arg(long, hide = true)]
    relay: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct OrderCreated {
    order_id: u64,
    customer: String,
}

impl Event for OrderCreated {
    const TOPIC: &str = "orders";
    const EVENT_TYPE: &str = "order.created";

    /// Events of one customer arrive in order.
    fn key(&self) -> Option<String> {
        Some(self.customer.clone())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(file) = &args.relay {
        let (outbox, pool) = open(file).await?;
        return Ok(_ = relay(&outbox, &pool, &args)?.until_drained(Duration::from_secs(60)).await?);
    }
    let file = std::env::temp_dir().join(format!("outbox-quickstart-{}.db", std::process::id()));
    let (outbox, pool) = open(&file).await?;
    sqlx::raw_sql("create table orders (id integer primary key, customer text not null)").execute(&pool).await?;

    for order_id in 1..=args.orders {
        let customer = format!("customer-{}", order_id % 5);
        let mut tx = pool.begin().await?;
        let insert = sqlx::query("insert into orders (id, customer) values ($1, $2)");
        insert.bind(order_id as i64).bind(&customer).execute(&mut *tx).await?;
        outbox.enqueue(&mut tx, OrderCreated { order_id, customer }).await?;
        match order_id % 10 {
            0 => tx.rollback().await?, // the payment failed: neither the order nor its event exists
            _ => outbox.commit(tx).await?,
        }
    }
    let orders: i64 = sqlx::query_scalar("select count(*) from orders").fetch_one(&pool).await?;
    println!("{} orders placed, {} rolled back, {orders} committed\n", args.orders, args.orders as i64 - orders);

    let mut delivered = BTreeMap::new();
    if args.crash {
        run_process(&args, &file, &mut delivered, Some(orders as usize / 2)).await?;
        println!(
            "\n!! the relay was killed (SIGKILL) after {} events; a new one waits for its lease\n",
            delivered.len()
        );
    }
    run_process(&args, &file, &mut delivered, None).await?;

    let twice = delivered.values().filter(|times| **times > 1).count();
    let lost = orders as usize - delivered.len();
    println!("\n{orders} committed orders, {} events delivered, {lost} lost, {twice} delivered twice", delivered.len());
    if args.crash {
        println!("(a crash may repeat what was on its way: consumers drop duplicates by the message id)");
    }
    pool.close().await;
    std::fs::remove_file(&file)?;
    ensure!(lost == 0, "events were lost");
    Ok(())
}

/// Runs this program as a relay in a process of its own, until all is delivered or `kill_after` events were.
async fn run_process(
    args: &Args,
    file: &Path,
    delivered: &mut BTreeMap<String, usize>,
    kill_after: Option<usize>,
) -> Result<()> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.arg("--relay").arg(file).stdout(Stdio::piped()).kill_on_drop(true);
    if let Some(kafka) = &args.kafka {
        command.arg("--kafka").arg(kafka);
    }
    let mut child = command.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
        if let Some(id) = line.split_whitespace().find_map(|word| word.strip_prefix("id=")) {
            *delivered.entry(id.to_owned()).or_default() += 1;
        }
        if kill_after.is_some_and(|n| delivered.len() >= n) {
            // SIGKILL; what it has printed by then is still read.
            child.start_kill()?;
        }
    }
    let ended = child.wait().await?;
    ensure!(kill_after.is_some() || ended.success(), "the relay failed");
    Ok(())
}

async fn open(file: &Path) -> Result<(Sqlite, SqlitePool)> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let (outbox, pool) = (Sqlite::new(), SqlitePool::connect_with(options).await?);
    outbox.migrate(&pool).await?;
    Ok((outbox, pool))
}

fn relay(outbox: &Sqlite, pool: &SqlitePool, args: &Args) -> Result<StoreRelay> {
    let kafka = args.kafka.as_ref().map(|at| KafkaTransport::connect(KafkaConfig::new(at))).transpose()?;
    let builder = StoreRelay::builder("orders", outbox.store(pool.clone()), Printer { kafka }).batch(5);
    // Short, so that the successor of a killed relay has not long to wait. Defaults: 30 s and 10 s; Kafka wants 3 s.
    Ok(builder.lease(Duration::from_secs(6)).publish_deadline(Duration::from_secs(3)).build()?)
}

/// Prints what was delivered, by Kafka where there is one. Slowly enough to be watched.
#[derive(Debug)]
struct Printer {
    kafka: Option<KafkaTransport>,
}

#[async_trait]
impl Transport for Printer {
    fn capabilities(&self) -> TransportCapabilities {
        self.kafka.as_ref().map(Transport::capabilities).unwrap_or_default()
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        match &self.kafka {
            Some(kafka) => kafka.publish(batch.clone(), out).await,
            None => (0..batch.len()).for_each(|i| out.delivered(i)),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        for m in batch.iter().filter(|m| out.get(m.index()) == Outcome::Delivered) {
            let payload = String::from_utf8_lossy(m.payload());
            println!("-> {} {} key={} id={} {payload}", m.topic(), m.event_type(), m.key().unwrap_or("-"), m.id());
        }
    }
}
