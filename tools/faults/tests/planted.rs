//! The run of the rig with a mistake planted into the relays: what would it say?

use faults::{BrokerKind, Bug, Cell, DatabaseKind, Fault, Rig, Task};
use stores::turn;

async fn cell(fault: Fault, bug: Option<Bug>) -> Cell {
    let _turn = turn().await;
    let mut rig = Rig::new(env!("CARGO_BIN_EXE_faults-relay"));
    let seed = rand::random();
    let cell = rig.run(Task { fault, database: DatabaseKind::Sqlite, broker: BrokerKind::Nats, seed }, bug).await;
    println!("{bug:?}, {fault}, seed {seed}: {:?}\n{}", cell.wrong(), cell.verdict);
    cell
}

/// By what it does to messages, not by a recovery that takes long.
async fn is_caught(bug: Bug, fault: Fault) {
    let cell = cell(fault, Some(bug)).await;
    assert_eq!(cell.error, None, "the run itself failed");
    assert!(cell.harm() > 0 && !cell.wrong().is_empty(), "{bug:?} is not seen by {fault}\n{}", cell.verdict);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_before_the_brokers_own_is_caught() {
    is_caught(Bug::AcknowledgesEarly, Fault::BrokerKilled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_that_is_taken_for_an_acknowledgement_is_caught() {
    is_caught(Bug::TrustsSilence, Fault::BrokerCut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_before_the_publish_is_caught() {
    is_caught(Bug::SettlesFirst, Fault::KilledBeforeAck).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgets_what_is_parked_is_caught() {
    is_caught(Bug::ForgetsParked, Fault::KilledWithParked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_runs_without_a_mistake_pass() {
    for fault in [Fault::BrokerKilled, Fault::BrokerCut, Fault::KilledBeforeAck, Fault::KilledWithParked] {
        assert_eq!(cell(fault, None).await.wrong(), Vec::<String>::new(), "{fault}");
    }
}
