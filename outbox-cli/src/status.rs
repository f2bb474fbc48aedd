use outbox::admin::Paused;
use outbox::sqlx::RelayStatus;

use crate::replay::describe;
use crate::time;

/// The relays as an aligned table; with what they replay, where one of them does.
pub(crate) fn table(relays: &[RelayStatus]) -> String {
    let header = ["RELAY", "RUNS", "POSITION", "LAST", "WAITING", "PARKED", "DEAD", "LAST SETTLED"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(relays.iter().map(|r| {
        vec![
            r.relay.clone(),
            if r.active { "yes" } else { "no" }.to_owned(),
            r.position.to_string(),
            r.last.to_string(),
            if r.waiting > 100_000 { "> 100000".to_owned() } else { r.waiting.to_string() },
            r.parked.to_string(),
            r.dead.to_string(),
            r.settled_at.clone().unwrap_or_else(|| "never".to_owned()),
        ]
    }));
    if relays.iter().any(|r| r.replay.is_some()) {
        rows[0].push("REPLAYS".to_owned());
        for (row, relay) in rows[1..].iter_mut().zip(relays) {
            row.push(relay.replay.as_ref().map(describe).unwrap_or_default());
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// What is paused, a line each.
pub(crate) fn paused(paused: &[Paused]) -> String {
    let line = |p: &Paused| {
        let key = p.key.as_ref().map(|key| format!("key {key} of ")).unwrap_or_default();
        format!("{key}{} is paused since {}\n", p.relay, time::show(p.since))
    };
    paused.iter().map(line).collect()
}
