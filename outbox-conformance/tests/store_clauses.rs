//! The contract in the documentation of `Store` and the cases of the suite are the same list.

use std::collections::BTreeSet;
use std::time::Duration;

use outbox_conformance::store::{StoreHarness, cases};
use outbox_core::memory::{MemoryStore, MemoryTransaction};
use outbox_core::{Message, StoreError};

/// The clauses under `# Contract`, in order: id and words.
fn documented() -> Vec<(String, String)> {
    let source = include_str!("../../outbox-core/src/store.rs");
    let lines = source.lines().skip_while(|line| *line != "/// # Contract").skip(1);
    let mut clauses: Vec<(String, String)> = Vec::new();
    for line in lines.take_while(|line| !line.starts_with("/// # ")) {
        let line = line.strip_prefix("///").expect("the section ends with another one");
        if let Some((id, words)) = line.strip_prefix(" - `").and_then(|rest| rest.split_once("` ")) {
            clauses.push((id.to_owned(), words.to_owned()));
        } else if let (Some(more), Some((_, words))) = (line.strip_prefix("   "), clauses.last_mut()) {
            *words = format!("{words} {more}");
        }
    }
    clauses
}

#[test]
fn every_clause_has_a_case_and_every_case_a_clause() {
    let cases = cases::<Nothing>();
    let promised: Vec<_> = cases.iter().map(|case| (case.id().to_owned(), case.promise().to_owned())).collect();
    let documented = documented();
    for clause in &documented {
        assert!(promised.contains(clause), "the documentation has {clause:?}, and no case has it word for word");
    }
    for promise in &promised {
        assert!(documented.contains(promise), "a case has {promise:?}, and the documentation has not");
    }
    assert_eq!(promised, documented, "the order is another one");
    let ids: BTreeSet<_> = promised.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), promised.len(), "an id stands twice");
}

#[test]
fn the_name_of_a_case_begins_with_its_clause() {
    for case in cases::<Nothing>() {
        let prefix = case.id().to_lowercase().replace('-', "_");
        assert!(case.name().starts_with(&format!("{prefix}_")), "{} has the case {}", case.id(), case.name());
    }
}

/// Never started: only the list of the cases is looked at.
struct Nothing;

impl StoreHarness for Nothing {
    type Store = MemoryStore;
    type Tx = MemoryTransaction;

    const CONCURRENT_WRITERS: bool = false;

    async fn start() -> Self {
        Self
    }

    async fn store(&self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn begin(&self) -> MemoryTransaction {
        MemoryStore::new().begin()
    }

    async fn enqueue(&self, _tx: &mut MemoryTransaction, _message: Message) -> Result<(), StoreError> {
        Ok(())
    }

    async fn commit(&self, _tx: MemoryTransaction) -> Result<(), StoreError> {
        Ok(())
    }

    async fn rollback(&self, _tx: MemoryTransaction) {}

    async fn age(&self, _relay: &str, _by: Duration) {}

    async fn dead_letters(&self, _relay: &str) -> Vec<(Message, String)> {
        Vec::new()
    }
}
