//! Draws a plan from a seed.

use crate::plan::{Away, Fault, Loss, Plan, Setup, Transaction, Write};
use crate::random::Random;

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let mut r = Random::new(seed, 1);
        let setup = setup(&mut r);
        let span = r.range(1_500, 9_000);
        let keys = r.range(1, 6) as u8;
        let setup = Setup { locked_keys: r.pick(&[0, 1, keys, keys]), ..setup };
        let transactions = transactions(&mut r, span, keys);
        let wanted = if r.chance(6) { 0 } else { r.range(2, 6) };
        let mut faults = Vec::new();
        for _ in 0..wanted {
            let kind = r.below(22);
            match kind {
                17..=20 => poison(&mut r, &setup, &transactions, &mut faults),
                _ => faults.extend(draw(&mut r, kind, &setup, span, keys)),
            }
        }
        Self { seed, setup, transactions, faults }
    }
}

fn setup(r: &mut Random) -> Setup {
    let batch = r.pick(&[1, 2, 3, 5, 8, 20]);
    let lease = r.range(3_000, 9_000);
    Setup {
        processes: r.pick(&[1, 2, 2, 2, 3]),
        gapless: r.chance(40),
        batch,
        window: batch * r.range(1, 6) as usize,
        lease,
        publish_deadline: r.range(300, lease / 2),
        max_attempts: r.pick(&[1, 2, 2, 3, 5]),
        retry_max: r.pick(&[100, 400, 1_500]),
        poll_max: r.pick(&[20, 100, 400]),
        delay: r.pick(&[1, 5, 20, 60]),
        pooler: r.chance(50),
        retention: r.chance(40),
        locked_keys: 0,
    }
}

fn transactions(r: &mut Random, span: u64, keys: u8) -> Vec<Transaction> {
    let wanted = r.range(20, 120);
    let (hot, unkeyed, rollbacks) = (r.chance(50), r.pick(&[0, 10, 30]), r.pick(&[5, 20]));
    let (mut all, mut message) = (Vec::new(), 0);
    while u64::from(message) < wanted {
        let mut writes = Vec::new();
        for _ in 0..r.pick(&[1, 1, 1, 2, 4]) {
            let key = if hot && r.chance(60) { 0 } else { r.below(u64::from(keys)) as u8 };
            writes.push(Write {
                message,
                key: (!r.chance(unkeyed)).then_some(key),
                after: r.pick(&[0, 1, 3, 20]),
                pause: r.pick(&[0, 0, 0, 1, 5, 40]),
                undone: r.chance(5),
            });
            message += 1;
        }
        // Some come in bursts.
        let at = if r.chance(30) { all.last().map_or(0, |t: &Transaction| t.at + r.below(3)) } else { r.below(span) };
        all.push(Transaction {
            number: all.len() as u32,
            at,
            early_id: r.chance(20),
            writes,
            hold: if r.chance(12) { r.range(50, 2_500) } else { r.below(15) },
            commits: !r.chance(rollbacks),
        });
    }
    // Foreign ones own a transaction id and write nothing here.
    for _ in 0..r.below(4) {
        let (number, at, hold) = (all.len() as u32, r.below(span), r.range(100, 4_000));
        all.push(Transaction { number, at, early_id: true, writes: Vec::new(), hold, commits: true });
    }
    all.sort_by_key(|t| (t.at, t.number));
    all
}

/// A message that fails, and often something else that happens while its end is on its way.
fn poison(r: &mut Random, s: &Setup, transactions: &[Transaction], into: &mut Vec<Fault>) {
    let writing: Vec<&Transaction> = transactions.iter().filter(|t| !t.writes.is_empty() && t.commits).collect();
    // One of the last, as often as not: what nobody waited for is lost only where nothing follows that is waited for.
    let among = if r.chance(50) { 3 } else { writing.len() as u64 };
    let Some(tx) = writing.iter().rev().nth(r.below(among) as usize) else { return };
    let message = tx.writes[r.below(tx.writes.len() as u64) as usize].message;
    let at = tx.at + tx.hold + r.range(0, 700);
    let later = at + r.range(100, 4_000);
    into.push(match r.below(5) {
        // Where many are in flight, only what is refused for ever may be called refused.
        0 | 1 => Fault::Poison { message, until: (r.chance(70) && !s.gapless).then_some(later) },
        2 => Fault::Panic { message, until: later },
        _ => Fault::Failing { message, until: later },
    });
    let process = r.below(u64::from(s.processes)) as u8;
    match r.below(6) {
        0 => into.push(Fault::Crash { process, at, polls: r.below(30) as u32, back: r.range(10, 2_500) }),
        1 => into.push(Fault::ServerCrash { at, down: r.pick(&[1, 200]), keep: r.range(0, 60), skip: false }),
        2 => into.push(Fault::Network { process: None, from: at, until: at + r.range(20, 600), how: Loss::Requests }),
        _ => {}
    }
}

fn draw(r: &mut Random, kind: u64, s: &Setup, span: u64, keys: u8) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (at, process) = (r.below(span), r.below(u64::from(s.processes)) as u8);
    let until = at + r.pick(&[50, 400, 1_500, 4_000]);
    let key = r.below(u64::from(keys)) as u8;
    let whose = if r.chance(60) { Some(process) } else { None };
    let (keep, skip, down) = (r.range(0, 100), r.chance(30), r.pick(&[1, 50, 800]));
    let fault = match kind {
        0..=2 => Fault::Crash { process, at, polls: r.below(30) as u32, back: r.range(10, 2_500) },
        3 | 4 => Fault::Shutdown { process, at, back: r.range(10, 2_500) },
        5 | 6 => {
            Fault::Freeze { process, at, until: at + r.pick(&[s.lease / 3, s.lease, s.lease + 2_000, 2 * s.lease]) }
        }
        7 | 8 => {
            let how = match r.below(5) {
                0 => Loss::Requests,
                1 => Loss::Answers,
                2 | 3 => Loss::Some,
                _ => Loss::Slow(r.pick(&[100, 1_000, 4_000])),
            };
            Fault::Network { process: whose, from: at, until, how }
        }
        9 | 10 => Fault::ServerCrash { at, down, keep, skip },
        11 | 12 => {
            // A second one when the lease is taken after the first.
            if r.chance(30) {
                let at = at + down + s.lease + r.below(12 * s.delay + 200);
                faults.push(Fault::Failover { at, down: 1, lag: r.pick(&[300, s.lease]), keep: r.range(0, 60), skip });
            }
            if r.chance(50) {
                // The network is split: who has the lease notices late, and has something to send meanwhile.
                let (how, from) = (r.pick(&[Loss::Requests, Loss::Answers]), at.saturating_sub(r.below(400)));
                let until = at + r.range(500, s.lease);
                faults.push(Fault::Network { process: Some(process), from, until, how });
                let how = r.pick(&[Away::Refuses, Away::Silent]);
                faults.push(Fault::Outage { from, until: at + r.below(s.lease / 2), how });
                Fault::Failover { at, down, lag: s.lease, keep: r.range(0, 40), skip }
            } else {
                Fault::Failover { at, down, lag: r.pick(&[50, 300, 1_500, s.lease]), keep, skip }
            }
        }
        13 => {
            let how = r.pick(&[Away::Refuses, Away::Silent, Away::Mute, Away::Late]);
            Fault::Outage { from: at, until, how }
        }
        14 | 15 => Fault::Lossy { from: at, until, percent: r.pick(&[10, 40, 80]) },
        16 => Fault::SlowKey { key, from: at, until, delay: r.range(20, s.publish_deadline + 200) },
        // The common topic, or a key's own.
        _ => Fault::NoDestination { topic: if at.is_multiple_of(2) { 0 } else { key + 1 }, from: at, until },
    };
    faults.push(fault);
    faults
}
