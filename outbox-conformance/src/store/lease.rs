use std::time::Duration;

use outbox_core::{Acquired, FetchLimits, Store, StoreError, StoreErrorKind, TopicFilter};

use super::desk::{
    Handed, MANY, OWNER, RELAY, RIVAL, Reader, acquire, commit, commit_all, dead, delivered, failed, on, parked,
    reader, request, successor, tags,
};
use super::{LEASE, StoreHarness};
use crate::suite::ensure;
use crate::{Outcome, Passed, Seen};

pub(super) async fn one_holder<H: StoreHarness>(h: H) -> Outcome {
    let (a, b) = (h.store().await, h.store().await);
    let (of_a, of_b) = (request(RELAY, OWNER), request(RELAY, RIVAL));
    let (x, y) = futures_util::future::join(a.acquire(&of_a), b.acquire(&of_b)).await;
    // One of two at the same time may be told to try again.
    let got = |answer: &Result<Acquired, StoreError>| matches!(answer, Ok(Acquired::Yes(..)));
    ensure!(!(got(&x) && got(&y)), "two owners that asked at the same time both got the lease");
    for (store, request) in [(&a, &of_a), (&b, &of_b)] {
        if !got(&x) && !got(&y) {
            store.acquire(request).await?;
        }
    }
    let third = h.store().await.acquire(&request(RELAY, 3)).await?;
    ensure!(matches!(third, Acquired::Held(_)), "a third owner got a lease that another one holds");
    Ok(Passed::Kept)
}

pub(super) async fn fenced<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["a", "b", "c"]).await?;
    let old = reader(&h).await?;
    let got = old.fetch(MANY).await?;
    ensure!(got.len() == 3, "{:?} handed out where [a, b, c] were committed", tags(&got));
    old.settle(&parked([failed(got[0].seq)])).await?;
    let new = successor(&h).await?;
    stale(&old, got[0].seq, got[1].seq).await?;
    // The successor is as it was: its lease holds, and what is unsettled is still its own.
    let left: Vec<Handed> = new.drain(MANY).await?.into_iter().filter(|m| m.tag != "a").collect();
    ensure!(
        tags(&left) == ["b", "c"],
        "the successor was handed out {:?} of [b, c] after the stale calls",
        tags(&left)
    );
    let letters = h.dead_letters(RELAY).await;
    ensure!(letters.is_empty(), "a stale settlement made {} dead letters", letters.len());
    new.deliver(&left).await?;
    let last = successor(&h).await?;
    let seqs = last.parked_seqs();
    ensure!(seqs == [got[0].seq], "{seqs:?} is parked after the stale calls, [{}] before", got[0].seq);

    // Of another owner, where one that takes over after the expiry gets the lease.
    h.age(RELAY, 2 * LEASE).await;
    let rival = h.store().await;
    if let Acquired::Yes(lease, parked) = rival.acquire(&request(RELAY, RIVAL)).await? {
        stale(&last, got[0].seq, got[1].seq).await?;
        // And of one that was released.
        rival.release(&lease).await?;
        let _next = successor(&h).await?;
        stale(&Reader { store: rival, lease, parked }, got[0].seq, got[1].seq).await?;
    }
    Ok(Passed::Kept)
}

/// Every call of a reader that was taken over from must fail.
async fn stale<S: Store>(old: &Reader<S>, one: i64, two: i64) -> Result<(), Seen> {
    let mut all = delivered([two]);
    all.unparked.push(one);
    all.dead = dead(two, "stale").dead;
    let answers = [
        ("fetch", old.batch(MANY).await.err()),
        ("read", old.store.read(&old.lease, &[one]).await.err()),
        ("settle", old.settle(&all).await.err()),
        ("an empty settle", old.settle(&delivered([])).await.err()),
        ("release", old.store.release(&old.lease).await.err()),
        ("fetch after release", old.store.fetch(&old.lease, FetchLimits { messages: 1 }).await.err()),
    ];
    for (call, error) in answers {
        let Some(error) = error else {
            return Err(Seen::new(format!("{call} succeeded with the lease that was taken over")));
        };
        ensure!(error.kind() == StoreErrorKind::LeaseLost, "{call} failed with {:?}: {error}", error.kind());
    }
    Ok(())
}

pub(super) async fn released<H: StoreHarness>(h: H) -> Outcome {
    let first = reader(&h).await?;
    first.store.release(&first.lease).await?;
    let second = acquire(&h, &request(RELAY, RIVAL)).await?;
    second.batch(MANY).await?;
    Ok(Passed::Kept)
}

pub(super) async fn expired<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["a"]).await?;
    let _first = reader(&h).await?;
    h.age(RELAY, LEASE + Duration::from_secs(1)).await;
    let second = acquire(&h, &request(RELAY, RIVAL)).await?;
    let all = second.fetch(MANY).await?;
    ensure!(tags(&all) == ["a"], "the successor was handed out {:?} where [a] was committed", tags(&all));
    Ok(Passed::Kept)
}

pub(super) async fn same_owner<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["a"]).await?;
    let first = reader(&h).await?;
    first.fetch(MANY).await?;
    let again = acquire(&h, &request(RELAY, OWNER)).await?;
    again.batch(MANY).await?;
    // In the same process too.
    match again.store.acquire(&request(RELAY, OWNER)).await? {
        Acquired::Yes(lease, _) => again.store.fetch(&lease, FetchLimits { messages: 1 }).await?,
        Acquired::Held(wait) => return Err(Seen::new(format!("the owner itself is to wait for {wait:?}"))),
    };
    Ok(Passed::Kept)
}

pub(super) async fn epochs<H: StoreHarness>(h: H) -> Outcome {
    let mut epochs = Vec::new();
    for _ in 0..4 {
        epochs.push(successor(&h).await?.lease.epoch);
    }
    ensure!(epochs.windows(2).all(|w| w[0] < w[1]), "the epochs of four acquisitions are {epochs:?}");
    Ok(Passed::Kept)
}

pub(super) async fn held<H: StoreHarness>(h: H) -> Outcome {
    let _first = reader(&h).await?;
    for passed in [10, 10] {
        h.age(RELAY, Duration::from_secs(passed)).await;
    }
    let (store, left) = (h.store().await, LEASE - Duration::from_secs(20));
    match store.acquire(&request(RELAY, RIVAL)).await? {
        Acquired::Held(wait) => {
            ensure!(!wait.is_zero() && wait <= left, "Held({wait:?}) for a lease that holds for {left:?} at most");
        }
        Acquired::Yes(..) => ensure!(false, "another owner got a lease that holds for {left:?}"),
    }
    Ok(Passed::Kept)
}

pub(super) async fn names<H: StoreHarness>(h: H) -> Outcome {
    let filtered = |relay: &str, owner, topic: &str| {
        let mut request = request(relay, owner);
        request.topics = TopicFilter::new([topic]).unwrap_or_default();
        request
    };
    let a = acquire(&h, &filtered("a", OWNER, "a")).await?;
    let b = acquire(&h, &filtered("b", RIVAL, "b")).await?;
    commit_all(&h, ["a", "b"].map(|topic| on(topic, topic))).await?;
    let (of_a, of_b) = (a.fetch(MANY).await?, b.fetch(MANY).await?);
    ensure!(tags(&of_a) == ["a"] && tags(&of_b) == ["b"], "{:?} and {:?} handed out", tags(&of_a), tags(&of_b));
    a.store.release(&a.lease).await?;
    b.deliver(&of_b).await?;
    Ok(Passed::Kept)
}
