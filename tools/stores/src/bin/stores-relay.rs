//! A relay process for the proofs: from a database to a file. SIGTERM drains it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use outbox_core::{Observer, RelayEvent};
use stores::{Bug, Client, FileTransport, relay, relay_with_bug};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
struct Args {
    #[arg(long)]
    url: String,
    /// Deliveries are appended to it.
    #[arg(long)]
    file: PathBuf,
    #[arg(long, default_value = "sqlx")]
    client: Client,
    /// A mistake to be planted into the store.
    #[arg(long)]
    bug: Option<Bug>,
    /// In milliseconds.
    #[arg(long)]
    lease: u64,
    /// Messages handed out and not settled.
    #[arg(long)]
    window: usize,
}

/// Tells the parent what happens.
#[derive(Debug)]
struct Printed;

impl Observer for Printed {
    fn on_event(&self, _relay: &str, event: &RelayEvent) {
        println!("{event:?}");
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let transport = FileTransport::new(args.file);
    let relay = match args.bug {
        None => relay(args.client, &args.url, transport)?,
        Some(bug) => relay_with_bug(bug, &args.url, transport)?,
    };
    let lease = Duration::from_millis(args.lease);
    let relay = relay
        .lease(lease)
        .publish_deadline(lease / 2)
        .window(args.window, 64 << 20)
        .batch(500.min(args.window))
        .poll(Duration::from_millis(1), Duration::from_millis(20))
        .observer(Printed)
        .build()?;
    let mut terminated = signal(SignalKind::terminate())?;
    println!("ready");
    relay.run(async move { _ = terminated.recv().await }).await?;
    Ok(())
}
