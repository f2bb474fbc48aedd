//! Every kind of fault is caught, and only that kind is reported.

use std::sync::Arc;

use outbox_conformance::{Expected, Ledger, Verdict};

/// Messages `k:1` to `k:n` of one key in their order, each with its id as payload.
fn with_run(key: &str, n: u64) -> Ledger {
    let ledger = Ledger::new();
    commit_run(&ledger, key, n);
    ledger
}

fn commit_run(ledger: &Ledger, key: &str, n: u64) {
    for order in 1..=n {
        let id = format!("{key}:{order}");
        ledger.committed(&Expected::new(&id, id.as_bytes()).key(key).order(order));
    }
}

fn receive(ledger: &Ledger, key: &str, orders: impl IntoIterator<Item = u64>) {
    for order in orders {
        let id = format!("{key}:{order}");
        ledger.received(&id, Some(key), id.as_bytes());
    }
}

/// Lost, invented, inversions (early and late), corrupted, duplicates.
type Faults<'a> = (Vec<&'a str>, Vec<&'a str>, Vec<(&'a str, &'a str)>, Vec<&'a str>, usize);

/// The verdict without its counts, so that a test states all the faults and no others.
fn faults(verdict: &Verdict) -> Faults<'_> {
    (
        verdict.lost.iter().map(String::as_str).collect(),
        verdict.invented.iter().map(String::as_str).collect(),
        verdict.inversions.iter().map(|i| (i.early.as_str(), i.late.as_str())).collect(),
        verdict.corrupted.iter().map(String::as_str).collect(),
        verdict.duplicates,
    )
}

#[test]
fn a_faultless_run_is_clean() {
    let ledger = with_run("k", 3);
    receive(&ledger, "k", 1..=3);
    let verdict = ledger.check();
    assert_eq!(faults(&verdict), (vec![], vec![], vec![], vec![], 0));
    assert_eq!((verdict.committed, verdict.received, verdict.max_copies), (3, 3, 1));
    verdict.assert_clean(0);
}

#[test]
fn a_missing_message_is_lost() {
    let ledger = with_run("k", 4);
    receive(&ledger, "k", [1, 4]);
    let verdict = ledger.check();
    assert_eq!(faults(&verdict), (vec!["k:2", "k:3"], vec![], vec![], vec![], 0));
    assert!(!verdict.is_clean(9));
}

#[test]
fn an_unknown_message_is_invented_once() {
    let ledger = with_run("k", 1);
    receive(&ledger, "k", [1, 2, 2]);
    ledger.dead_letter("ghost");
    assert_eq!(faults(&ledger.check()), (vec![], vec!["k:2", "ghost"], vec![], vec![], 0));
    assert!(!ledger.check().is_clean(9));
}

#[test]
fn a_late_first_occurrence_is_an_inversion() {
    let ledger = with_run("k", 4);
    receive(&ledger, "k", [1, 3, 2, 4]);
    assert_eq!(faults(&ledger.check()), (vec![], vec![], vec![("k:3", "k:2")], vec![], 0));
    assert!(!ledger.check().is_clean(9));
}

#[test]
fn every_message_behind_the_highest_is_an_inversion() {
    let ledger = with_run("k", 4);
    receive(&ledger, "k", [4, 1, 2, 3]);
    assert_eq!(ledger.check().inversions.len(), 3);
}

#[test]
fn a_gap_does_not_hide_an_inversion() {
    let ledger = with_run("k", 5);
    receive(&ledger, "k", [1, 5, 3]);
    assert_eq!(faults(&ledger.check()), (vec!["k:2", "k:4"], vec![], vec![("k:5", "k:3")], vec![], 0));
}

#[test]
fn repeated_copies_are_duplicates_and_no_inversion() {
    let ledger = with_run("k", 3);
    receive(&ledger, "k", [1, 2, 1, 2, 1, 3]);
    let verdict = ledger.check();
    assert_eq!(faults(&verdict), (vec![], vec![], vec![], vec![], 3));
    assert_eq!((verdict.received, verdict.max_copies), (6, 3));
    assert!(verdict.is_clean(3));
    assert!(!verdict.is_clean(2));
}

#[test]
fn another_payload_is_corruption_also_in_a_later_copy() {
    let ledger = with_run("k", 2);
    receive(&ledger, "k", [1, 2]);
    ledger.received("k:1", Some("k"), b"other");
    ledger.received("k:1", Some("k"), b"other");
    assert_eq!(faults(&ledger.check()), (vec![], vec![], vec![], vec!["k:1"], 2));
    assert!(!ledger.check().is_clean(9));
}

#[test]
fn another_key_is_corruption() {
    let ledger = with_run("k", 2);
    ledger.received("k:1", Some("j"), b"k:1");
    ledger.received("k:2", None, b"k:2");
    assert_eq!(faults(&ledger.check()), (vec![], vec![], vec![], vec!["k:1", "k:2"], 0));
}

#[test]
fn keys_are_ordered_apart() {
    let ledger = with_run("a", 2);
    commit_run(&ledger, "b", 2);
    receive(&ledger, "b", [1]);
    receive(&ledger, "a", [1, 2]);
    receive(&ledger, "b", [2]);
    ledger.check().assert_clean(0);
}

#[test]
fn equal_positions_are_concurrent_with_each_other_only() {
    let ledger = Ledger::new();
    for (id, order) in [("x", 1), ("y", 1), ("z", 2)] {
        ledger.committed(&Expected::new(id, b"").key("k").order(order));
    }
    for id in ["y", "z", "x"] {
        ledger.received(id, Some("k"), b"");
    }
    assert_eq!(faults(&ledger.check()), (vec![], vec![], vec![("z", "x")], vec![], 0));
}

#[test]
fn without_position_or_key_there_is_no_order() {
    let ledger = with_run("k", 2);
    ledger.committed(&Expected::new("free", b"").key("k"));
    ledger.committed(&Expected::new("keyless", b"").order(9));
    ledger.received("keyless", None, b"");
    receive(&ledger, "k", [1, 2]);
    ledger.received("free", Some("k"), b"");
    ledger.check().assert_clean(0);
}

#[test]
fn without_position_loss_and_corruption_are_still_caught() {
    let ledger = Ledger::new();
    ledger.committed(&Expected::new("gone", b"").key("k"));
    ledger.committed(&Expected::new("bad", b"").key("k"));
    ledger.received("bad", Some("k"), b"!");
    assert_eq!(faults(&ledger.check()), (vec!["gone"], vec![], vec![], vec!["bad"], 0));
}

#[test]
fn a_dead_letter_is_not_lost() {
    let ledger = with_run("k", 2);
    receive(&ledger, "k", [2]);
    ledger.dead_letter("k:1");
    let verdict = ledger.check();
    verdict.assert_clean(0);
    assert_eq!(verdict.dead_letters, 1);
}

#[test]
fn an_undone_message_is_neither_lost_nor_invented_nor_in_order() {
    let ledger = with_run("k", 4);
    ledger.undone("k:3");
    ledger.undone("k:4");
    ledger.undone("never known");
    receive(&ledger, "k", [4, 1, 2]);
    ledger.received("never known", None, b"");
    let verdict = ledger.check();
    verdict.assert_clean(0);
    assert_eq!((verdict.undone, verdict.undone_delivered), (3, 2));
}

#[test]
fn an_undone_message_must_still_be_what_was_written() {
    let ledger = with_run("k", 1);
    ledger.undone("k:1");
    ledger.received("k:1", Some("k"), b"other");
    ledger.received("k:1", Some("k"), b"k:1");
    assert_eq!(faults(&ledger.check()), (vec![], vec![], vec![], vec!["k:1"], 1));
}

#[test]
fn arrival_may_be_noted_before_the_commit() {
    let ledger = Ledger::new();
    receive(&ledger, "k", 1..=2);
    assert_eq!(ledger.check().invented.len(), 2);
    commit_run(&ledger, "k", 2);
    ledger.check().assert_clean(0);
}

#[test]
#[should_panic(expected = "nothing was checked")]
fn an_empty_ledger_is_no_proof() {
    Ledger::new().check().assert_clean(0);
}

#[test]
#[should_panic(expected = "k:1")]
fn a_fault_fails_the_test_with_its_id() {
    with_run("k", 1).check().assert_clean(0);
}

#[test]
#[should_panic(expected = "told twice")]
fn one_id_is_committed_once() {
    let ledger = with_run("k", 1);
    commit_run(&ledger, "k", 1);
}

#[test]
fn the_table_names_the_first_five() {
    let ledger = with_run("k", 7);
    ledger.received("ghost", None, b"");
    let table = ledger.check().to_string();
    assert!(table.contains("lost (G2)               7  k:1, k:2, k:3, k:4, k:5, ..."), "{table}");
    assert!(table.contains("invented (G1)           1  ghost\n"), "{table}");
    assert!(!table.contains("k:6"), "{table}");
}

#[test]
fn many_messages_from_many_threads() {
    let ledger = Arc::new(Ledger::new());
    std::thread::scope(|scope| {
        for key in 0..8 {
            let ledger = Arc::clone(&ledger);
            scope.spawn(move || {
                let key = key.to_string();
                commit_run(&ledger, &key, 25_000);
                receive(&ledger, &key, (1..=25_000).filter(|n| *n != 777));
            });
        }
    });
    let verdict = ledger.check();
    assert_eq!((verdict.committed, verdict.received, verdict.lost.len()), (200_000, 199_992, 8));
    assert!(verdict.inversions.is_empty());
}
