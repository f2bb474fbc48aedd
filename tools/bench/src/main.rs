//! Benchmarks, run by `cargo xtask bench NAME`: figures as ratios of what was measured in the same run.

mod drain;
mod lock;
mod parked;
mod report;
mod stores;
mod transports;

use anyhow::{Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let figures = match name.as_str() {
        "drain" => drain::run().await?,
        "lock" => lock::run().await?,
        "parked" => parked::run().await?,
        "stores" => stores::run().await?,
        "transports" => transports::run().await?,
        _ => bail!("unknown benchmark {name:?}: there are `drain`, `lock`, `parked`, `stores` and `transports`"),
    };
    report::write(&name, &figures)
}
