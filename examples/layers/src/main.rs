//! Two outboxes, one webhook: the lane that has a backlog catches up at a set pace, and leaves the webhook to the fresh
//! messages of the other.
//!
//!     cargo run -p layers
//!     RUST_LOG=outbox_core::layer=debug cargo run -p layers    with a line for each publish

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use outbox::layer::{CatchUpLayer, ConcurrencyLimitLayer, TimeoutLayer, TraceLayer, TransportExt};
use outbox::memory::MemoryStore;
use outbox::{Message, MessageRef, Relay, StoreRelay, Transport, transport};
use tracing_subscriber::EnvFilter;

const BACKLOG: u64 = 6_000;
const PACE: u64 = 2_000;
const FRESH: u64 = 200;

/// Stands for a request to a service of another team; any transport takes layers in the same way.
fn webhook() -> impl Transport {
    transport::from_fn(|m: MessageRef<'_>| {
        let size = m.payload().len();
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            if size == 0 { Err("an empty request".into()) } else { Ok(()) }
        }
    })
}

fn filled(messages: u64) -> Result<MemoryStore> {
    let store = MemoryStore::new();
    let mut tx = store.begin();
    for n in 0..messages {
        tx.enqueue(Message::new("orders", "order.created").key(n % 1_000).text(n.to_string()))?;
    }
    tx.commit();
    Ok(store)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).init();

    // One value of a layer is one limit, whatever it is put around.
    let pace = CatchUpLayer::new(PACE).fresh(Duration::from_secs(30));
    let at_once = ConcurrencyLimitLayer::new(4);
    let lane = |pace: CatchUpLayer| {
        // The last is the outermost: tracing also counts the wait for the limits, the time limit does not.
        webhook().layer(TimeoutLayer::new(Duration::from_secs(3))).layer(&at_once).layer(pace).layer(TraceLayer::new())
    };
    // The backlog of this example was written just now; to this clock it is an hour old.
    let later = || SystemTime::now() + Duration::from_secs(3_600);
    let behind = StoreRelay::builder("behind", filled(BACKLOG)?, lane(pace.clone().clock(later))).build()?;
    let ahead = StoreRelay::builder("ahead", filled(FRESH)?, lane(pace)).build()?;

    let start = Instant::now();
    let timed = async |relay: &StoreRelay| {
        relay.until_drained(Duration::from_secs(60)).await?;
        anyhow::Ok(start.elapsed())
    };
    let (old, fresh) = tokio::try_join!(timed(&behind), timed(&ahead))?;
    println!("{BACKLOG} old messages at {PACE}/s in {old:.1?}, {FRESH} fresh ones beside them in {fresh:.1?}");
    ensure!(fresh < old / 4, "the fresh messages waited for the old ones");
    ensure!(old > Duration::from_secs(2), "the pace was not kept");
    ensure!(behind.handle().stats().outages == 0, "pacing is no outage");
    Ok(())
}
