//! A relay process of the fault rig.

use clap::Parser;
use faults::{Args, run_relay};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    run_relay(Args::parse()).await
}
