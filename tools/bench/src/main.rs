//! Benchmarks, run by `cargo xtask bench NAME`: figures as ratios of what was measured in the same run.

mod drain;
mod lock;
mod report;
mod stores;
mod transports;
mod waiting;

use anyhow::{Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let figures = match name.as_str() {
        "drain" => drain::run().await?,
        "lock" => lock::run().await?,
        "stores" => stores::run().await?,
        "transports" => transports::run().await?,
        "waiting" => waiting::run().await?,
        _ => bail!("unknown benchmark {name:?}: there are `drain`, `lock`, `stores`, `transports` and `waiting`"),
    };
    report::write(&name, &figures)
}
