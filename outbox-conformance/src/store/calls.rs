use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join3;
use outbox_core::{FetchLimits, Store, StoreError};
use tokio::time::timeout;

use super::desk::{MANY, OWNER, RELAY, commit, delivered, failed, handed, parked, reader, request, tags};
use super::{LEASE, StoreHarness};
use crate::suite::ensure;
use crate::{Outcome, Passed, Seen};

/// For a signal; where the clock is paused, that is no time.
const SOON: Duration = Duration::from_secs(20);

pub(super) async fn at_the_same_time<H: StoreHarness>(h: H) -> Outcome {
    let all: Vec<String> = (0..30).map(|i| i.to_string()).collect();
    commit(&h, &all.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let reader = reader(&h).await?;
    let mut seen = reader.fetch(3).await?;
    ensure!(!seen.is_empty(), "nothing handed out of 30 messages");
    let waits = seen[0].seq;
    reader.settle(&parked([failed(waits)])).await?;
    let mut settled = 1;
    for _ in 0..9 {
        let settlement = delivered(seen[settled..].iter().map(|m| m.seq));
        settled = seen.len();
        let (store, lease) = (&reader.store, &reader.lease);
        let fetch = store.fetch(lease, FetchLimits { messages: 3 });
        let (batch, read, done) = join3(fetch, store.read(lease, &[waits]), store.settle(lease, &settlement)).await;
        let (batch, read) = (succeeded("fetch", batch)?, succeeded("read", read)?);
        succeeded("settle", done)?;
        ensure!(read.len() == 1, "read gave {} messages of one", read.len());
        seen.extend(handed(&batch));
    }
    let (mut got, mut want) = (tags(&seen), all.iter().map(String::as_str).collect::<Vec<_>>());
    got.sort_unstable();
    want.sort_unstable();
    ensure!(got == want, "{:?} handed out beside reads and settlements", tags(&seen));
    Ok(Passed::Kept)
}

fn succeeded<T>(call: &str, result: Result<T, StoreError>) -> Result<T, Seen> {
    result.map_err(|e| Seen::new(format!("{call} failed at the same time as others: {e}")))
}

pub(super) async fn dropped<H: StoreHarness>(h: H) -> Outcome {
    let mut current = reader(&h).await?;
    for call in ["acquire", "fetch", "read", "settle", "release"] {
        let (store, lease) = (&current.store, &current.lease);
        // Once polled, then dropped.
        match call {
            "acquire" => drop(store.acquire(&request(RELAY, OWNER)).now_or_never()),
            "fetch" => drop(store.fetch(lease, FetchLimits { messages: MANY }).now_or_never()),
            "read" => drop(store.read(lease, &[1]).now_or_never()),
            "settle" => drop(store.settle(lease, &delivered([])).now_or_never()),
            _ => drop(store.release(lease).now_or_never()),
        }
        // In the same process: what the call held must not be held any more.
        h.age(RELAY, 2 * LEASE).await;
        let request = request(RELAY, OWNER);
        let again = timeout(SOON, store.acquire(&request))
            .await
            .map_err(|_| Seen::new(format!("no answer after a dropped {call}")))?;
        let again = again.map_err(|e| Seen::new(format!("acquire failed after a dropped {call}: {e}")))?;
        let outbox_core::Acquired::Yes(lease, parked) = again else {
            return Err(Seen::new(format!("the owner itself is to wait after a dropped {call}")));
        };
        current.lease = lease;
        current.parked = parked;
        commit(&h, &[call]).await?;
        let got = current.drain(MANY).await?;
        ensure!(tags(&got).contains(&call), "{:?} handed out after a dropped {call}", tags(&got));
        current.deliver(&got).await?;
    }
    Ok(Passed::Kept)
}

pub(super) async fn signal<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let (Some(mut one), Some(mut two)) = (reader.store.wakeups(), reader.store.wakeups()) else {
        return Ok(Passed::NotDeclared("wake-ups"));
    };
    for round in ["first", "second"] {
        // A signal from before may have been kept.
        _ = (one.wait().now_or_never(), two.wait().now_or_never());
        let (mut a, mut b) = (one.wait(), two.wait());
        let waiting = ((&mut a).now_or_never().is_none(), (&mut b).now_or_never().is_none());
        commit(&h, &[round]).await?;
        let both = async {
            if waiting.0 {
                a.await;
            }
            if waiting.1 {
                b.await;
            }
        };
        ensure!(timeout(SOON, both).await.is_ok(), "no signal within {SOON:?} of the {round} commit");
    }
    Ok(Passed::Kept)
}

pub(super) async fn lost_signal<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let Some(mut wakeups) = reader.store.wakeups() else { return Ok(Passed::NotDeclared("wake-ups")) };
    // Nobody waits, or no more.
    _ = wakeups.wait().now_or_never();
    commit(&h, &["1"]).await?;
    _ = wakeups.wait().now_or_never();
    drop(wakeups);
    let got = reader.drain(MANY).await?;
    ensure!(tags(&got) == ["1"], "{:?} handed out where [1] was committed and its signal lost", tags(&got));
    Ok(Passed::Kept)
}
