//! Nothing is lost and nothing comes too early, whatever fails.

use std::time::Instant;

use faults::{Line, Plan, Rig, Table};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_inverted_whatever_fails() {
    let (started, plan) = (Instant::now(), Plan::of_environment());
    println!("seed {}", plan.seed);
    let mut rig = Rig::new(env!("CARGO_BIN_EXE_faults-relay"));
    let mut cells = Vec::new();
    for task in plan.tasks {
        let cell = rig.run(task, None).await;
        println!("{}", Line(&cell));
        cells.push(cell);
    }
    let table = Table::new(cells);
    println!("\n{table}{:.0} s, seed {}", started.elapsed().as_secs_f64(), plan.seed);
    let wrong = table.wrong();
    assert!(wrong.is_empty(), "{}\nseed {}", wrong.join("\n"), plan.seed);
}
