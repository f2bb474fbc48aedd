use outbox_core::{Crashes, Note, Store, StoreErrorKind};

use super::desk::{MANY, OWNER, RELAY, RIVAL, acquire, commit, reader, request};
use super::{LEASE, StoreHarness};
use crate::suite::ensure;
use crate::{Outcome, Passed, Seen};

type Next<H> = Option<(super::desk::Reader<<H as StoreHarness>::Store>, Crashes)>;

/// Takes the name, and gives what is known of those before; nothing where it cannot be taken, which is the business of
/// other clauses.
async fn next<H: StoreHarness>(h: &H, owner: u128) -> Result<Next<H>, Seen> {
    let Ok(next) = acquire(h, &request(RELAY, owner)).await else { return Ok(None) };
    match next.store.crashes(&next.lease).await {
        Ok(crashes) => Ok(Some((next, crashes))),
        Err(e) if e.kind() == StoreErrorKind::LeaseLost => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// From one that expired.
async fn takeover<H: StoreHarness>(h: &H, owner: u128) -> Result<Next<H>, Seen> {
    h.age(RELAY, 2 * LEASE).await;
    next(h, owner).await
}

const NO_NOTES: Outcome = Ok(Passed::NotDeclared("notes of crashes"));

pub(super) async fn counted<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1", "2"]).await?;
    let first = reader(&h).await?;
    let before = first.store.crashes(&first.lease).await?;
    ensure!(before.count == 0, "{before:?} before anything happened");
    let mut seen = Vec::new();
    for owner in [RIVAL, OWNER, RIVAL] {
        let Some((_, crashes)) = takeover(&h, owner).await? else { return NO_NOTES };
        seen.push(crashes.count);
    }
    if seen == [0, 0, 0] {
        return NO_NOTES;
    }
    ensure!(seen == [1, 2, 3], "{seen:?} crashes are told after one, two, three takeovers");
    let Some((same, crashes)) = takeover(&h, RIVAL).await? else { return NO_NOTES };
    ensure!(crashes.count == 3, "{crashes:?} after the same owner took its own lease over");
    let got = same.fetch(MANY).await?;
    same.deliver(&got[..1]).await?;
    let Some((_, crashes)) = takeover(&h, OWNER).await? else { return NO_NOTES };
    ensure!(crashes.count == 1, "{crashes:?} after something was settled, and one crash");
    let Some((last, _)) = takeover(&h, OWNER).await? else { return NO_NOTES };
    last.store.release(&last.lease).await?;
    let Some((_, crashes)) = next(&h, RIVAL).await? else { return NO_NOTES };
    ensure!(crashes.count == 1, "{crashes:?} after the lease was given up");
    Ok(Passed::Kept)
}

pub(super) async fn noted<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1", "2"]).await?;
    let first = reader(&h).await?;
    first.store.note(&first.lease, Note { suspect: Some(7), outage: false }).await?;
    let Some((second, crashes)) = takeover(&h, RIVAL).await?.filter(|(_, crashes)| crashes.count > 0) else {
        return NO_NOTES;
    };
    ensure!(crashes.suspect == Some(7), "{crashes:?} is told, where 7 was noted");
    ensure!(
        first.store.note(&first.lease, Note { suspect: Some(8), outage: true }).await.is_err(),
        "a note was taken under a lease that was lost"
    );
    second.store.note(&second.lease, Note { suspect: Some(9), outage: true }).await?;
    let Some((third, after)) = takeover(&h, OWNER).await? else { return NO_NOTES };
    ensure!(
        after.count == crashes.count && after.suspect.is_none(),
        "{after:?} after an outage, and {crashes:?} before"
    );
    third.store.note(&third.lease, Note { suspect: Some(10), outage: false }).await?;
    third.store.release(&third.lease).await?;
    let Some((_, crashes)) = next(&h, RIVAL).await? else { return NO_NOTES };
    ensure!(crashes.suspect.is_none(), "{crashes:?} after the lease was given up");
    Ok(Passed::Kept)
}
