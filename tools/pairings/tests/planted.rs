//! The run of the pairings, with mistakes planted into a transport: what would it say?

use pairings::{Cell, Databases, MemoryBroker, Planted, STORES, Store, run};

async fn cells(planted: Option<Planted>) -> Vec<Cell> {
    let databases = Databases::start().await.expect("the databases");
    let sqlite: Vec<Store> = STORES.into_iter().filter(|s| s.database == pairings::Database::Sqlite).collect();
    let cells = run(&MemoryBroker::new(planted), &databases, &sqlite, 7).await.expect("the run");
    assert_eq!(cells.len(), 2);
    cells
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_without_a_mistake_passes() {
    for cell in cells(None).await {
        assert_eq!(cell.wrong(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_acknowledgements_are_counted_as_duplicates_and_are_no_fault() {
    for cell in cells(Some(Planted::Forgets)).await {
        assert_eq!(cell.wrong(), Vec::<String>::new());
        assert!(cell.verdict.duplicates > 0, "{}", cell.verdict);
    }
}

async fn is_caught(planted: Planted, says: &str) {
    let cells = cells(Some(planted)).await;
    let wrong: Vec<String> = cells.iter().flat_map(Cell::wrong).collect();
    assert!(wrong.iter().any(|wrong| wrong.contains(says)), "{planted:?}: {wrong:?}");
    assert!(wrong.iter().all(|wrong| wrong.contains(says)), "{planted:?} is taken for something else: {wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_message_is_caught() {
    is_caught(Planted::Loses, "lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_swapped_messages_of_a_key_are_caught() {
    is_caught(Planted::Swaps, "inversions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_payload_is_caught() {
    is_caught(Planted::Changes, "changed on the way").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_message_is_caught() {
    is_caught(Planted::Invents, "invented").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_message_is_caught() {
    let cells = cells(Some(Planted::Rejects)).await;
    let wrong: Vec<String> = cells.iter().flat_map(Cell::wrong).collect();
    assert!(wrong.iter().any(|wrong| wrong.contains("dead letters")), "{wrong:?}");
}
