//! The contract in the documentation of `Transport` and the cases of the suite are the same list.

use outbox_conformance::transport::{Stored, TransportHarness, cases};
use outbox_core::memory::MemoryTransport;

/// The clauses under `# Contract`: id and words, without the marks of links and code.
fn documented() -> Vec<(String, String)> {
    let source = include_str!("../../outbox-core/src/transport/mod.rs");
    let lines = source.lines().skip_while(|line| *line != "/// # Contract").skip(1);
    let mut clauses: Vec<(String, String)> = Vec::new();
    for line in lines.map_while(|line| line.strip_prefix("///")).take_while(|line| !line.is_empty()) {
        match line.strip_prefix(" - `").and_then(|rest| rest.split_once("` ")) {
            Some((id, words)) => clauses.push((id.to_owned(), words.to_owned())),
            None => {
                let (_, words) = clauses.last_mut().expect("the first line is a clause");
                words.push_str(line.trim_end().strip_prefix(' ').unwrap_or(line));
            }
        }
    }
    clauses.into_iter().map(|(id, words)| (id, plain(&words))).collect()
}

fn plain(text: &str) -> String {
    text.replace(['`', '[', ']'], "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_clause_has_a_case_and_every_case_a_clause() {
    let cases = cases::<Nothing>();
    let cases: Vec<_> = cases.iter().map(|case| (case.id().to_owned(), plain(case.promise()))).collect();
    assert_eq!(cases, documented());
    let mut ids: Vec<_> = cases.iter().map(|(id, _)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), cases.len(), "an id stands twice");
}

/// Never started: only the list of the cases is looked at.
struct Nothing;

impl TransportHarness for Nothing {
    type Transport = MemoryTransport;

    async fn start() -> Self {
        Self
    }

    async fn transport(&self) -> MemoryTransport {
        MemoryTransport::new()
    }

    async fn stored(&self) -> Vec<Stored> {
        Vec::new()
    }
}
