use outbox_core::{Acquired, StartAt, Store, StoreErrorKind, TopicFilter};

use super::desk::{MANY, OWNER, RELAY, acquire, commit, commit_all, message, on, reader, request, successor, tags};
use super::{LEASE, StoreHarness};
use crate::suite::ensure;
use crate::{Outcome, Passed};

pub(super) async fn filter<H: StoreHarness>(h: H) -> Outcome {
    let topics =
        ["orders", "order.created", "order", "Orders", "orders.eu", "ordersX", "bestell%", "b", "été.1", "ÉTÉ.2"];
    let cases: [(&[&str], &[&str]); 5] = [
        (&["orders"], &["orders"]),
        (&["order.*"], &["order.created"]),
        (&["orders*", "b"], &["orders", "orders.eu", "ordersX", "b"]),
        // Nothing but a * at the end has a meaning.
        (&["order_", "b%", "été.*", "(orders|b)"], &["été.1"]),
        (&[], &topics),
    ];
    for (round, (patterns, expected)) in cases.into_iter().enumerate() {
        let mut filtered = request(RELAY, OWNER);
        filtered.topics = TopicFilter::new(patterns.iter().copied()).unwrap_or_default();
        h.age(RELAY, 2 * LEASE).await;
        let reader = acquire(&h, &filtered).await?;
        commit_all(&h, topics.map(|topic| on(topic, &format!("{round}{topic}")))).await?;
        let all = reader.drain(MANY).await?;
        // What earlier rounds passed over is not the business of this clause.
        let mut got: Vec<&str> =
            tags(&all).into_iter().filter_map(|tag| tag.strip_prefix(&*round.to_string())).collect();
        let mut want = expected.to_vec();
        got.sort_unstable();
        want.sort_unstable();
        ensure!(got == want, "{got:?} handed out to a relay of {patterns:?}, which covers {want:?}");
        reader.deliver(&all).await?;
    }
    Ok(Passed::Kept)
}

pub(super) async fn others_are_settled<H: StoreHarness>(h: H) -> Outcome {
    let mut filtered = request(RELAY, OWNER);
    filtered.topics = TopicFilter::new(["mine"]).unwrap_or_default();
    let first = acquire(&h, &filtered).await?;
    if !first.store.capabilities().fan_out {
        // There the others wait for the relay that covers them.
        return Ok(Passed::NotDeclared("fan-out"));
    }
    commit_all(&h, [on("other", "1"), on("mine", "2"), on("other", "3"), on("mine", "4")]).await?;
    let got = first.drain(MANY).await?;
    first.deliver(&got).await?;
    let second = successor(&h).await?;
    let again = second.drain(MANY).await?;
    ensure!(again.is_empty(), "{:?} handed out to a relay that covers all topics since it passed them", tags(&again));
    Ok(Passed::Kept)
}

pub(super) async fn goes_on<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1", "2", "3"]).await?;
    let first = reader(&h).await?;
    let got = first.drain(MANY).await?;
    ensure!(tags(&got) == ["1", "2", "3"], "{:?} handed out to a new relay where [1, 2, 3] are there", tags(&got));
    first.deliver(&got[..2]).await?;
    commit(&h, &["4"]).await?;
    for start in [StartAt::Now, StartAt::Earliest] {
        h.age(RELAY, 2 * LEASE).await;
        let mut again = request(RELAY, OWNER);
        again.start = start;
        let got = acquire(&h, &again).await?.drain(MANY).await?;
        ensure!(tags(&got) == ["3", "4"], "{:?} handed out with {start:?} to a relay that stood before 3", tags(&got));
    }
    Ok(Passed::Kept)
}

pub(super) async fn now<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["past"]).await?;
    let mut expected = vec!["later"];
    let mut open = None;
    if H::CONCURRENT_WRITERS {
        let mut tx = h.begin().await;
        h.enqueue(&mut tx, message("open")).await?;
        commit(&h, &["past too"]).await?;
        open = Some(tx);
        expected.push("open");
    }
    let mut fresh = request(RELAY, OWNER);
    fresh.start = StartAt::Now;
    let store = h.store().await;
    if !store.capabilities().replay {
        match store.acquire(&fresh).await {
            Err(e) if e.kind() == StoreErrorKind::Config => return Ok(Passed::NotDeclared("replay")),
            Ok(Acquired::Yes(lease, _)) => store.release(&lease).await?,
            _ => {}
        }
    }
    let reader = acquire(&h, &fresh).await?;
    if let Some(tx) = open {
        h.commit(tx).await?;
    }
    commit(&h, &["later"]).await?;
    let got = reader.drain(MANY).await?;
    ensure!(tags(&got) == expected, "{:?} handed out where {expected:?} was committed after the start", tags(&got));
    reader.deliver(&got).await?;
    let again = successor(&h).await?.drain(MANY).await?;
    ensure!(again.is_empty(), "{:?} handed out to the next lease", tags(&again));
    Ok(Passed::Kept)
}

pub(super) async fn went_back<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1", "2", "3"]).await?;
    let reader = reader(&h).await?;
    let got = reader.drain(MANY).await?;
    reader.deliver(&got).await?;
    if !h.rewind().await {
        return Ok(Passed::NotShown("rewind"));
    }
    commit(&h, &["new"]).await?;
    h.age(RELAY, 2 * LEASE).await;
    match h.store().await.acquire(&request(RELAY, OWNER)).await {
        Err(e) => {
            let kind = e.kind();
            ensure!(kind == StoreErrorKind::SequenceWentBack, "acquire failed with {kind:?}: {e}");
        }
        Ok(Acquired::Held(wait)) => ensure!(false, "acquire answered Held({wait:?})"),
        Ok(Acquired::Yes(..)) => ensure!(false, "acquire gave a lease, under which the new message would be lost"),
    }
    Ok(Passed::Kept)
}
