//! The simulation itself: one seed is one history, the protocol holds, every mutant is found.

use std::thread;

use sim::{Mutant, Plan, run, shrink};

/// Each mutant with a seed that finds it.
const FOUND: &[(Mutant, u64)] = &[
    (Mutant::FenceBeforeRead, 5),
    (Mutant::FenceXmax, 45),
    (Mutant::HolesUnprobed, 2),
    (Mutant::CutIgnored, 23),
    (Mutant::NoHoles, 2),
    (Mutant::WritersAfterFetch, 21),
    (Mutant::XidAfterSeq, 1),
    (Mutant::UnsettledForgotten, 5),
    (Mutant::FloorAtPosition, 5),
    (Mutant::SnapshotIgnored, 7),
    (Mutant::ScanInPieces, 10),
    (Mutant::ScanParked, 23),
    (Mutant::TokenUnchecked, 2),
    (Mutant::SettleUnfenced, 15),
    (Mutant::FetchUnfenced, 30),
    (Mutant::ExpiryIgnored, 0),
    (Mutant::NoLeaseWait, 715),
    (Mutant::MemoryKept, 93),
    (Mutant::ParkedForgotten, 2),
    (Mutant::ParkedKeyForgotten, 2),
    (Mutant::HeldKeyForgotten, 16),
    (Mutant::TopicForgotten, 213),
    (Mutant::DestinationOvertaken, 383),
    (Mutant::TwoInFlight, 22),
    (Mutant::SettleBeforeAck, 2),
    (Mutant::DeadLetterEarly, 156),
    (Mutant::DeadLetterAsync, 529),
    (Mutant::LostAnswerIgnored, 110),
    (Mutant::NoRelease, 0),
    (Mutant::RetentionByPosition, 2),
];

#[test]
fn one_seed_is_one_history() {
    for seed in 0..20 {
        let (first, second) = (run(&Plan::new(seed), None), run(&Plan::new(seed), None));
        assert!(!first.history.is_empty());
        assert_eq!(first.history.to_string(), second.history.to_string(), "seed {seed}");
        assert_eq!(first.history.digest(), second.history.digest(), "seed {seed}");
    }
}

#[test]
fn no_promise_is_broken() {
    let check = |seeds: std::ops::Range<u64>| {
        for seed in seeds {
            let violations = run(&Plan::new(seed), None).violations;
            assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        }
    };
    thread::scope(|scope| [0..150, 150..300].map(|seeds| scope.spawn(move || check(seeds))).map(|t| t.join().unwrap()));
}

#[test]
fn every_mutant_is_found() {
    assert_eq!(FOUND.len(), Mutant::ALL.len());
    for &(mutant, seed) in FOUND {
        assert!(run(&Plan::new(seed), None).violations.is_empty(), "seed {seed} is at fault itself");
        assert!(run(&Plan::new(seed), Some(mutant)).broken().is_some(), "{} is not found by {seed}", mutant.name());
    }
}

#[test]
fn a_plan_shrinks_and_still_breaks_the_promise() {
    let (mutant, seed) = FOUND[4];
    let (plan, mutant) = (Plan::new(seed), Some(mutant));
    let Some(promise) = run(&plan, mutant).broken() else { panic!("the mutant is not found") };
    let small = shrink(&plan, mutant);
    assert_eq!(run(&small, mutant).broken(), Some(promise));
    assert!(small.messages() < plan.messages() && small.faults() <= plan.faults());
}
