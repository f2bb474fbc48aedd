//! Every broken store fails the clause that its defect breaks, and no other one. Run with `--nocapture` for the table.

mod broken;
mod desks;
mod handing;
mod leasing;
mod notes;
mod others;
mod rare;
mod registry;
mod settling;
mod tools;
mod writing;

use std::collections::BTreeSet;
use std::sync::Arc;

use broken::{Broken, Defect, Sound};
use outbox_conformance::Seen;
use outbox_conformance::store::cases;
use rare::{Deletes, Retention, Sequence};
use registry::MUTANTS;

/// The clauses that a store with this defect breaks, and what was seen.
fn caught(defect: fn() -> Arc<dyn Defect>) -> Vec<(&'static str, Seen)> {
    let run = |case: outbox_conformance::Case<Broken>| {
        let outcome = case.run(async move || Broken::new(defect()));
        outcome.err().map(|seen| (case.id(), seen))
    };
    cases::<Broken>().into_iter().filter_map(run).collect()
}

#[test]
fn sound_stores_break_no_clause() {
    let sound: [fn() -> Arc<dyn Defect>; 3] =
        [|| Arc::new(Sound), || Arc::new(Retention::new(Deletes::SettledByAll)), || Arc::new(Sequence::new(true))];
    for store in sound {
        let broken = caught(store);
        assert!(broken.is_empty(), "{:?}: {broken:?}", store());
    }
}

#[test]
fn each_mutant_breaks_its_clause_and_no_other() {
    let (mut wrong, mut table) = (Vec::new(), format!("{:<24} {:<14} caught by\n", "mutant", "clause"));
    for mutant in MUTANTS {
        let caught = caught(mutant.defect);
        let clauses: Vec<&str> = caught.iter().map(|(id, _)| *id).collect();
        table += &format!("{:<24} {:<14} {}\n", mutant.name, mutant.clause, clauses.join(", "));
        if clauses != [mutant.clause] {
            wrong.push(format!("{} ({}) was caught by {caught:#?}", mutant.name, mutant.clause));
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_clause_has_a_mutant() {
    let caught: BTreeSet<&str> = MUTANTS.iter().map(|m| m.clause).collect();
    let clauses: BTreeSet<&str> = cases::<Broken>().iter().map(|case| case.id()).collect();
    assert_eq!(caught, clauses);
}

#[test]
fn the_table_in_the_documentation_is_this_one() {
    let row = |m: &registry::Mutant| format!("| {} | {} | {} |\n", m.name, m.clause, m.wrong);
    let table = format!(
        "| mutant | clause | what goes wrong |\n|---|---|---|\n{}",
        MUTANTS.iter().map(row).collect::<String>()
    );
    let documented = include_str!("../../src/store/mutants.md");
    assert!(documented == table, "src/store/mutants.md should be\n{table}");
}
