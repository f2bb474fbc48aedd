//! `CANCEL` and `CLOSE`: how a publish, or the whole transport, ends before its time.

use outbox_core::transport::Outcome as Said;
use outbox_core::{KeyOrder, Message, Outcomes, Transport};
use tokio::time::timeout;

use super::TransportHarness;
use super::drive::{batch, deliver, gapless, name, numbered, pace, polled, publish, said, stored};
use crate::Seen;
use crate::suite::{Outcome, Passed, ensure};

/// Dropped after 1, 2, 3, ... polls beside a publish that goes on; then while the broker does not answer.
pub(super) async fn a_dropped_publish_leaves_the_transport_usable<H: TransportHarness>(mut harness: H) -> Outcome {
    let faults = harness.faults().await;
    let topic = harness.topic("dropped").await;
    let transport = harness.transport().await;
    let gapless_order = transport.capabilities().key_order == KeyOrder::Gapless;
    let mut sent: Vec<Message> = ["a", "b"].iter().flat_map(|key| numbered(&topic, key, 0..1)).collect();
    deliver::<H>(&transport, &sent).await?;
    let (mut next, mut tries) = (1, 1);
    // Where many of a key may be in flight, the publish beside it is of the same key and comes behind it.
    let run = if gapless_order { 3 } else { 1 };
    let beside = if gapless_order { "a" } else { "b" };
    for polls in (1..12).chain([17, 29]) {
        let dropped = numbered(&topic, "a", next..next + run);
        let from = if gapless_order { next + run } else { next };
        let other = numbered(&topic, beside, from..from + run);
        let (one, two) = (Outcomes::new(run), Outcomes::new(run));
        let goes_on = timeout(H::DEADLINE, transport.publish(batch(&other), &two));
        let (_, ended) = tokio::join!(polled(transport.publish(batch(&dropped), &one), polls), goes_on);
        ensure!(ended.is_ok(), "beside a publish that was dropped after {polls} polls, another did not end");
        let said: Vec<Said> = said(&one).into_iter().chain(said(&two)).collect();
        let both: Vec<Message> = dropped.into_iter().chain(other).collect();
        let left = both.iter().zip(&said).filter(|(_, s)| **s != Said::Delivered).map(|(m, _)| m.clone());
        let again = deliver::<H>(&transport, &left.collect::<Vec<_>>()).await;
        again.map_err(|seen| Seen::new(format!("after a publish was dropped after {polls} polls: {seen}")))?;
        sent.extend(both);
        next = from + run;
        tries += 2;
    }
    if let Some(faults) = faults {
        // The deadline of a publish whose messages arrived and whose replies did not.
        faults.drop_replies();
        let last = numbered(&topic, "a", next..next + run);
        let out = Outcomes::new(run);
        let arrived = async {
            while !harness.stored().await.iter().any(|s| s.payload == last[0].payload) {
                pace().await;
            }
        };
        tokio::select! {
            () = transport.publish(batch(&last), &out) => {}
            _ = timeout(H::DEADLINE, arrived) => {}
        }
        said(&out);
        faults.heal();
        let again = deliver::<H>(&transport, &last).await;
        again.map_err(|seen| Seen::new(format!("after a publish that was dropped at its deadline: {seen}")))?;
        let behind = numbered(&topic, "a", next + run..next + run + 3);
        deliver::<H>(&transport, &behind).await?;
        sent.extend(last.into_iter().chain(behind));
    }
    let seen = stored(&harness, &sent).await?;
    gapless(&seen, "a").and_then(|()| gapless(&seen, beside))?;
    let most = sent.iter().map(|m| (seen.iter().filter(|s| s.payload == m.payload).count(), m)).max_by_key(|(n, _)| *n);
    if let Some((copies, m)) = most {
        ensure!(copies <= tries, "{} is stored {copies} times", name(m));
    }
    Ok(Passed::Kept)
}

pub(super) async fn close_loses_nothing<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("closed").await;
    let transport = harness.transport().await;
    let sent = numbered(&topic, "last", 0..20);
    deliver::<H>(&transport, &sent).await?;
    for call in ["first", "second", "third"] {
        let closed = timeout(H::DEADLINE, transport.close()).await;
        let closed = closed.map_err(|_| Seen::new(format!("the {call} close did not end within {:?}", H::DEADLINE)))?;
        if let Err(e) = closed {
            return Err(Seen::new(format!("everything was delivered, and the {call} close failed: {e}")));
        }
    }
    stored(&harness, &sent).await?;
    Ok(Passed::Kept)
}

pub(super) async fn after_close_nothing_is_claimed<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("after-close").await;
    let transport = harness.transport().await;
    deliver::<H>(&transport, &numbered(&topic, "before", 0..1)).await?;
    // What it answers is for the log, and another clause's matter.
    _ = timeout(H::DEADLINE, transport.close()).await;
    let sent = numbered(&topic, "late", 0..1);
    match &publish::<H>(&transport, &sent).await[0] {
        Said::Delivered => _ = stored(&harness, &sent).await?,
        Said::Unknown(_) => {}
        said => ensure!(false, "after close a good message was {said:?}"),
    }
    Ok(Passed::Kept)
}

/// That it is stored is another clause's matter.
pub(super) async fn it_can_be_used_again<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("used-again").await;
    let transport = harness.transport().await;
    deliver::<H>(&transport, &numbered(&topic, "again", 0..5)).await?;
    _ = timeout(H::DEADLINE, transport.close()).await;
    let delivered = deliver::<H>(&transport, &numbered(&topic, "again", 5..10)).await;
    delivered.map_err(|seen| Seen::new(format!("after it was closed: {seen}")))?;
    Ok(Passed::Kept)
}

pub(super) async fn capabilities_do_not_change<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("declared").await;
    let transport = harness.transport().await;
    let first = transport.capabilities();
    deliver::<H>(&transport, &numbered(&topic, "k", 0..1)).await?;
    let used = transport.capabilities();
    ensure!(used == first, "first {first:?} was declared, and after a publish {used:?}");
    let other = harness.transport().await.capabilities();
    ensure!(other == first, "one transport declares {first:?}, and another to the same broker {other:?}");
    Ok(Passed::Kept)
}
