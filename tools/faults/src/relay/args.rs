use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use outbox_amqp::{AmqpConfig, AmqpTransport};
use outbox_core::{Store, StoreRelay, Transport};
use outbox_kafka::{KafkaConfig, KafkaTransport};
use outbox_nats::{NatsConfig, NatsTransport};
use sqlx::{MySqlPool, PgPool, SqlitePool};
use tokio::signal::unix::{SignalKind, signal};

use super::bug::{Bug, BuggyStore, BuggyTransport};
use super::said::Printed;
use super::trap::{Trap, Traps};
use super::watched_store::WatchedStore;
use super::watched_transport::WatchedTransport;
use crate::rig::Timing;

/// The arguments of a relay process.
#[derive(Debug, Parser)]
pub struct Args {
    /// `postgres://`, `mysql://` or `sqlite://`.
    #[arg(long)]
    database: String,
    /// `kafka://host:port`, `amqp://` or `nats://`.
    #[arg(long)]
    broker: String,
    /// Strikes once.
    #[arg(long)]
    trap: Option<Trap>,
    /// A mistake to be planted.
    #[arg(long)]
    bug: Option<Bug>,
    /// Parks the messages of some keys.
    #[arg(long)]
    refuses: bool,
}

/// A relay until SIGTERM, which drains it. On a runtime of one thread, whose clock can be moved.
///
/// # Errors
/// For URLs that nobody knows, and those of the relay.
pub async fn run_relay(args: Args) -> anyhow::Result<()> {
    let traps = Arc::new(Traps::new(args.trap));
    let store = BuggyStore::new(store(&args.database)?, args.bug);
    let store = WatchedStore { inner: Box::new(store), traps: traps.clone() };
    let transport = Box::new(BuggyTransport::new(transport(&args.broker)?, args.bug));
    let transport = WatchedTransport { inner: transport, traps, refuses: args.refuses };
    let relay = StoreRelay::builder("faults", store, transport)
        .lease(Timing::LEASE)
        .publish_deadline(Timing::PUBLISH_DEADLINE)
        .window(Timing::WINDOW, 64 << 20)
        .batch(Timing::BATCH)
        .max_attempts(1_000)
        .retry(Duration::from_millis(100), Duration::from_secs(1))
        .outage(Duration::from_millis(100), Duration::from_secs(1))
        .poll(Duration::from_millis(1), Duration::from_millis(20))
        .observer(Printed)
        .build()?;
    let mut terminated = signal(SignalKind::terminate())?;
    println!("ready");
    relay.run(async move { _ = terminated.recv().await }).await?;
    Ok(())
}

fn store(url: &str) -> anyhow::Result<Box<dyn Store>> {
    Ok(match url.split(':').next().unwrap_or_default() {
        "postgres" => Box::new(outbox_sqlx::Postgres::new().store(PgPool::connect_lazy(url)?)),
        "mysql" => Box::new(outbox_sqlx::Mysql::new().store(MySqlPool::connect_lazy(url)?)),
        "sqlite" => Box::new(outbox_sqlx::Sqlite::new().store(SqlitePool::connect_lazy(url)?)),
        scheme => bail!("there is no store on {scheme}"),
    })
}

fn transport(url: &str) -> anyhow::Result<Box<dyn Transport>> {
    // A client says what it knows before the relay gives up.
    let patience = Timing::PUBLISH_DEADLINE * 4 / 5;
    let (scheme, rest) = url.split_once("://").context("a broker's URL")?;
    Ok(match scheme {
        "kafka" => Box::new(KafkaTransport::connect(KafkaConfig::new(rest))?),
        "amqp" => Box::new(AmqpTransport::connect(AmqpConfig::new(url).deadline(patience))?),
        "nats" => Box::new(NatsTransport::connect(NatsConfig::new(url).ack_timeout(patience))?),
        scheme => bail!("there is no transport to {scheme}"),
    })
}
