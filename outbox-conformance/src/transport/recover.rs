//! `RECOVER`: a transport comes back by itself.

use outbox_core::{Message, Outcomes, Transport};
use tokio::time::timeout;

use super::drive::{batch, deliver, gapless, numbered, publish, said, stored};
use super::{FAULTS, TransportHarness};
use crate::Seen;
use crate::suite::{Outcome, Passed};

/// One message of each key in flight, connections cut again and again while they are.
pub(super) async fn after_a_cut<H: TransportHarness>(mut harness: H) -> Outcome {
    let Some(faults) = harness.faults().await else { return Ok(Passed::NotShown(FAULTS)) };
    let topic = harness.topic("cuts").await;
    let transport = harness.transport().await;
    let keys: Vec<String> = (0..4).map(|k| format!("k{k}")).collect();
    let mut sent: Vec<Message> = Vec::new();
    for n in 0..12 {
        let heads: Vec<Vec<Message>> = keys.iter().map(|key| numbered(&topic, key, n..n + 1)).collect();
        let tries = heads.iter().map(|head| publish::<H>(&transport, head));
        let cut = async {
            for _ in 0..n * n {
                tokio::task::yield_now().await;
            }
            faults.cut();
        };
        let (said, ()) = tokio::join!(futures_util::future::join_all(tries), cut);
        for (head, said) in heads.iter().zip(said) {
            if said[0] != outbox_core::transport::Outcome::Delivered {
                deliver::<H>(&transport, head).await?;
            }
        }
        sent.extend(heads.into_iter().flatten());
    }
    let seen = stored(&harness, &sent).await?;
    keys.iter().try_for_each(|key| gapless(&seen, key))?;
    Ok(Passed::Kept)
}

/// The broker goes away under an open connection, and comes back while a publish waits or after it gave up.
pub(super) async fn after_an_outage<H: TransportHarness>(mut harness: H) -> Outcome {
    let Some(faults) = harness.faults().await else { return Ok(Passed::NotShown(FAULTS)) };
    let topic = harness.topic("back").await;
    let transport = harness.transport().await;
    deliver::<H>(&transport, &numbered(&topic, "before", 0..5)).await?;
    faults.refuse();
    comes_back(&harness, &transport, &topic, || faults.heal()).await
}

/// The broker is not there when the transport is made.
pub(super) async fn from_an_absent_broker<H: TransportHarness>(mut harness: H) -> Outcome {
    let Some(faults) = harness.faults().await else { return Ok(Passed::NotShown(FAULTS)) };
    let topic = harness.topic("absent").await;
    faults.refuse();
    let made = timeout(H::DEADLINE, harness.transport()).await;
    let transport = made.map_err(|_| Seen::new("without its broker the transport was not made within the deadline"))?;
    comes_back(&harness, &transport, &topic, || faults.heal()).await
}

async fn comes_back<H: TransportHarness>(
    harness: &H,
    transport: &H::Transport,
    topic: &str,
    heal: impl FnOnce(),
) -> Outcome {
    let sent = numbered(topic, "during", 0..1);
    let out = Outcomes::new(1);
    {
        let mut during = Box::pin(transport.publish(batch(&sent), &out));
        // Long enough for an attempt or two.
        let ended = timeout(H::DEADLINE / 20, &mut during).await.is_ok();
        heal();
        if !ended {
            // Whatever becomes of it: it is sent again below.
            _ = timeout(H::DEADLINE, during).await;
        }
    }
    said(&out);
    let mut all = sent;
    deliver::<H>(transport, &all).await?;
    let after = numbered(topic, "after", 0..5);
    deliver::<H>(transport, &after).await?;
    all.extend(after);
    let seen = stored(harness, &all).await?;
    gapless(&seen, "after")?;
    Ok(Passed::Kept)
}
