use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outbox::{RelayGroup, StartAt, StoreRelay};

use crate::config::{Config, OutboxConfig, RelayConfig, Start};
use crate::database::Database;

/// Runs every relay of the file until a signal, then drains.
pub(crate) async fn run(config: &Config) -> Result<()> {
    let mut group = RelayGroup::new();
    let mut names = Vec::new();
    for outbox in &config.outbox {
        for relay in &outbox.relay {
            group = group.with(build(outbox, relay).with_context(|| format!("relay {:?}", relay.name))?);
            names.push(relay.name.as_str());
        }
    }
    ensure!(!names.is_empty(), "the file has no [[outbox.relay]]");
    tracing::info!(relays = names.join(", "), "started");
    group.run(shutdown()).await?;
    tracing::info!("drained");
    Ok(())
}

fn build(outbox: &OutboxConfig, relay: &RelayConfig) -> Result<StoreRelay> {
    let store = Database::of(outbox)?.store();
    let mut builder = StoreRelay::builder(&relay.name, store, relay.to.connect()?).topics(&relay.topics);
    builder = builder.start(match relay.start {
        Start::Earliest => StartAt::Earliest,
        Start::Now => StartAt::Now,
    });
    if let Some(messages) = relay.batch {
        builder = builder.batch(messages);
    }
    if relay.window_messages.is_some() || relay.window_bytes.is_some() {
        builder = builder.window(relay.window_messages.unwrap_or(20_000), relay.window_bytes.unwrap_or(64 << 20));
    }
    if let Some(retry) = &relay.retry {
        ensure!(retry.event_types.is_none(), "event_types belongs into [[outbox.relay.retry_for]], not into retry");
        ensure!(relay.max_attempts.is_none(), "max_attempts stands beside retry: move it there");
        builder = builder.retry_policy(retry.policy());
    }
    for retry in &relay.retry_for {
        builder = builder.retry_policy_for(retry.event_types.clone().unwrap_or_default(), retry.policy());
    }
    if let Some(attempts) = relay.max_attempts {
        builder = builder.max_attempts(attempts);
    }
    if let Some(messages) = relay.max_parked {
        builder = builder.max_parked(messages);
    }
    if let Some(seconds) = relay.lease_seconds {
        builder = builder.lease(Duration::from_secs(seconds));
    }
    if let Some(seconds) = relay.publish_deadline_seconds {
        builder = builder.publish_deadline(Duration::from_secs(seconds));
    }
    if let Some(seconds) = relay.drain_deadline_seconds {
        builder = builder.drain_deadline(Duration::from_secs(seconds));
    }
    Ok(builder.build()?)
}

/// Completes at SIGTERM or Ctrl-C.
async fn shutdown() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    _ = tokio::signal::ctrl_c().await;
}
