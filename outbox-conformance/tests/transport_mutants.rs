//! Every clause against transports that are broken in one way each: this clause notices, and no other.

mod transport_double;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use outbox_conformance::Case;
use outbox_conformance::transport::{TransportHarness, cases};
use transport_double::{Bug, Double};

mod one_in_flight {
    outbox_conformance::transport_suite!(super::Double<false>);
}

mod gapless {
    outbox_conformance::transport_suite!(super::Double<true>);
}

/// The clauses that notice, and what they saw.
fn caught<H: TransportHarness + Send + 'static>(new: fn(Bug) -> H, bug: Bug) -> Vec<(&'static str, String)> {
    let run = |case: Case<H>| {
        let seen = case.run(async move || new(bug)).err()?;
        Some((case.id(), seen.to_string()))
    };
    cases::<H>().into_iter().filter_map(run).collect()
}

#[test]
fn each_broken_transport_fails_its_clause_and_no_other() {
    let left = Mutex::new(Bug::ALL.into_iter());
    let work = || {
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let run = |(bug, clause, words)| {
            let new = (Double::<false>::new, Double::<true>::new);
            let caught = if Bug::is_of_gapless(bug) { caught(new.1, bug) } else { caught(new.0, bug) };
            (clause, words, caught)
        };
        std::iter::from_fn(next).map(run).collect::<Vec<_>>()
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().expect("a panic of a case is an outcome")).collect()
    });
    let mut wrong = Vec::new();
    println!("| broken transport | clause | caught by |\n|---|---|---|");
    for (clause, words, caught) in all {
        let ids: Vec<&str> = caught.iter().map(|(id, _)| *id).collect();
        println!("| {words} | {clause} | {} |", ids.join(", "));
        for (id, seen) in &caught {
            println!("    {id}: {seen}");
        }
        if ids != [clause] {
            wrong.push(format!("{words}: {clause} was to notice, and {ids:?} did"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `LIMITS-1` is the relay's own promise: no transport can break it.
#[test]
fn every_other_clause_has_a_transport_that_breaks_it() {
    let broken: BTreeSet<&str> = Bug::ALL.into_iter().map(|(_, clause, _)| clause).collect();
    let all: BTreeSet<&str> =
        cases::<Double<false>>().iter().map(|case| case.id()).filter(|id| *id != "LIMITS-1").collect();
    assert_eq!(broken, all);
}

/// The table in the crate's documentation is this one.
#[test]
fn the_table_in_the_documentation_is_the_list() {
    let documentation = include_str!("../src/transport.rs");
    let rows = documentation.lines().filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"));
    let rows: Vec<_> =
        rows.filter_map(|row| row.split_once(" | ")).filter(|(_, clause)| clause.contains('-')).collect();
    let list: Vec<_> = Bug::ALL.into_iter().map(|(_, clause, words)| (words, clause)).collect();
    assert_eq!(rows, list);
}
