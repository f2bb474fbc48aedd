use outbox_core::Store;

use super::desk::{Handed, MANY, OWNER, RIVAL, acquire, commit, dead, failed, parked, request, tags};
use super::{LEASE, StoreHarness};
use crate::suite::ensure;
use crate::{Outcome, Passed, Seen};

/// What a relay name of its own is handed out; nothing where the store refuses a second name.
async fn by_another<H: StoreHarness>(h: &H, relay: &str) -> Vec<Handed> {
    match acquire(h, &request(relay, RIVAL)).await {
        Ok(reader) => {
            let got = reader.drain(MANY).await.unwrap_or_default();
            // So that it is not in the way of another name, where two of them cannot be.
            _ = reader.store.release(&reader.lease).await;
            got
        }
        Err(_) => Vec::new(),
    }
}

pub(super) async fn fan_out<H: StoreHarness>(h: H) -> Outcome {
    if !h.store().await.capabilities().fan_out {
        return Ok(Passed::NotDeclared("fan-out"));
    }
    let (a, b) = (acquire(&h, &request("a", OWNER)).await?, acquire(&h, &request("b", RIVAL)).await?);
    commit(&h, &["1", "2", "3", "4"]).await?;
    let of_a = a.drain(3).await?;
    ensure!(tags(&of_a) == ["1", "2", "3", "4"], "the first name was handed out {:?}", tags(&of_a));
    a.deliver(&of_a[..2]).await?;
    a.settle(&parked([failed(of_a[2].seq)])).await?;
    a.settle(&dead(of_a[3].seq, "refused")).await?;
    let of_b = b.drain(3).await?;
    ensure!(tags(&of_b) == ["1", "2", "3", "4"], "the second name was handed out {:?} of four", tags(&of_b));
    ensure!(h.dead_letters("b").await.is_empty(), "a dead letter of the first name is one of the second");
    b.deliver(&of_b[..2]).await?;
    h.age("b", 2 * LEASE).await;
    let again = acquire(&h, &request("b", RIVAL)).await?;
    ensure!(again.parked.is_empty(), "what the first name parked is parked for the second: {:?}", again.parked);
    let left = again.drain(MANY).await?;
    ensure!(tags(&left) == ["3", "4"], "the second name was handed out {:?} where [3, 4] is unsettled", tags(&left));
    Ok(Passed::Kept)
}

pub(super) async fn replay<H: StoreHarness>(h: H) -> Outcome {
    if !h.store().await.capabilities().replay {
        return Ok(Passed::NotDeclared("replay"));
    }
    let replayed = settled_then_new_name(&h).await?;
    ensure!(
        tags(&replayed) == ["1", "2"],
        "a new name was handed out {:?} of [1, 2] that another settled",
        tags(&replayed)
    );
    Ok(Passed::Kept)
}

/// Settles all of two messages, and gives what a name is handed out that is acquired only then.
async fn settled_then_new_name<H: StoreHarness>(h: &H) -> Result<Vec<Handed>, Seen> {
    let first = acquire(h, &request("first", OWNER)).await?;
    commit(h, &["1", "2"]).await?;
    let got = first.drain(MANY).await?;
    first.deliver(&got).await?;
    first.store.release(&first.lease).await?;
    Ok(by_another(h, "second").await)
}

pub(super) async fn retention<H: StoreHarness>(h: H) -> Outcome {
    if !h.store().await.capabilities().retention {
        return Ok(Passed::NotDeclared("retention"));
    }
    let (a, b) = (acquire(&h, &request("a", OWNER)).await?, acquire(&h, &request("b", RIVAL)).await?);
    commit(&h, &["1 both", "2 one", "3 parked", "4 none"]).await?;
    let (of_a, of_b) = (a.drain(MANY).await?, b.drain(MANY).await?);
    a.deliver(&of_a[..2]).await?;
    a.settle(&parked([failed(of_a[2].seq)])).await?;
    b.deliver(&[of_b[0].clone(), of_b[2].clone()]).await?;
    ensure!(h.retain().await, "retention is declared, and the harness has none");
    let kept = by_another(&h, "c").await;
    ensure!(
        tags(&kept) == ["2 one", "3 parked", "4 none"],
        "{:?} is kept; only [1 both] was settled by all",
        tags(&kept)
    );
    let read = a.read(&[of_a[2].seq]).await?;
    ensure!(tags(&read) == ["3 parked"], "read gave {:?} of what is parked", tags(&read));
    Ok(Passed::Kept)
}

pub(super) async fn declared<H: StoreHarness>(h: H) -> Outcome {
    let capabilities = h.store().await.capabilities();
    let replays = !settled_then_new_name(&h).await?.is_empty();
    let a = acquire(&h, &request("a", OWNER)).await?;
    a.drain(MANY).await?;
    commit(&h, &["3"]).await?;
    let of_a = a.drain(MANY).await?;
    let fans_out = !of_a.is_empty() && by_another(&h, "b").await.iter().any(|m| m.tag == "3");
    let retains = h.retain().await;
    let rows = [
        ("fan_out", capabilities.fan_out, fans_out),
        ("replay", capabilities.replay, replays),
        ("retention", capabilities.retention, retains),
    ];
    println!("{:<20} declared  seen", "capability");
    for (name, declared, seen) in rows {
        println!("{name:<20} {declared:<8}  {seen}");
    }
    let wakeups = a.store.wakeups().is_some();
    println!("{:<20} {:<8}  -\n{:<20} {wakeups:<8}  -", "concurrent writers", H::CONCURRENT_WRITERS, "wake-ups");
    // What is declared has a clause of its own each.
    let hidden: Vec<&str> = rows.iter().filter(|(_, declared, seen)| *seen && !declared).map(|row| row.0).collect();
    ensure!(hidden.is_empty(), "the store can do {hidden:?}, which it does not declare");
    Ok(Passed::Kept)
}
