//! A counterexample, state by state.

use stateright::Path;

use crate::actions::Act;
use crate::state::{Bits, Relay, State, has};

pub(crate) fn print(property: &str, path: Path<State, Act>) {
    println!("  {property}:");
    for (state, act) in path.into_vec() {
        println!("    {}", line(&state));
        if let Some(act) = act {
            println!("  -> {act:?}");
        }
    }
}

fn line(s: &State) -> String {
    let db = &s.db;
    let committed = s.committed();
    let rows: Vec<String> = (0..s.messages())
        .filter(|&m| has(committed, m))
        .map(|m| format!("m{m}:seq{}/xid{}", s.msg[m].seq, s.msg[m].xid))
        .collect();
    let relays: Vec<String> = s.relays.iter().filter(|r| r.active).map(|r| relay(r, s.seqs as usize)).collect();
    format!(
        "broker={:04b} rows=[{}] db[epoch{} token{} position{} floor{} snapshot{} unsettled={:04b} parked={:04b} \
         dead={:04b} deleted={:04b}] xmin={} next={} {}",
        s.broker,
        rows.join(" "),
        db.epoch,
        s.token,
        db.position,
        db.floor,
        xids(db.snapshot),
        db.unsettled,
        db.parked,
        db.dead,
        db.deleted,
        s.xmin(),
        s.next_xid,
        relays.join(" | ")
    )
}

fn relay(r: &Relay, seqs: usize) -> String {
    format!(
        "epoch{} token{} read{} snapshot{} {:?} fences{:?}",
        r.epoch,
        r.token,
        r.read,
        xids(r.snapshot),
        &r.known[..seqs],
        &r.fence[..seqs]
    )
}

fn xids(set: Bits) -> String {
    format!("{:?}", (0..8).filter(|&x| has(set, x)).collect::<Vec<_>>())
}
