//! `ORDER-3`: many of a key in flight, and something goes wrong.

use std::pin::pin;

use futures_util::future::{join, join_all};
use outbox_core::transport::Outcome as Said;
use outbox_core::{KeyOrder, Message, Outcomes, Transport};
use tokio::time::timeout;

use super::drive::{batch, deliver, gapless, numbered, said, stored, until};
use super::order::{GAPLESS, interleaved};
use super::{FAULTS, Faults, TransportHarness};
use crate::Seen;
use crate::suite::{Outcome, Passed};

/// What happens to four publishes in flight.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Connections are cut when so many messages were delivered.
    Cut(usize),
    /// From when so many were delivered all replies are lost, until the publishes are dropped at their deadline.
    Silence(usize),
    /// The broker is away when the first two are handed over, and back when the others are.
    Away,
}

const EVENTS: [Event; 10] = [
    Event::Cut(0),
    Event::Cut(1),
    Event::Silence(15),
    Event::Away,
    Event::Cut(50),
    Event::Silence(0),
    Event::Cut(100),
    Event::Silence(85),
    Event::Away,
    Event::Silence(1),
];

const KEYS: [&str; 2] = ["a", "b"];
/// How many of each key are in one publish.
const SIZE: usize = 30;

/// After each event what is not known is sent again.
pub(super) async fn no_gap_behind_a_cut<H: TransportHarness>(mut harness: H) -> Outcome {
    let faults = harness.faults().await;
    let topic = harness.topic("gap").await;
    let transport = harness.transport().await;
    if transport.capabilities().key_order != KeyOrder::Gapless {
        return Ok(Passed::NotDeclared(GAPLESS));
    }
    let Some(faults) = faults else { return Ok(Passed::NotShown(FAULTS)) };
    deliver::<H>(&transport, &numbered(&topic, "warm", 0..1)).await?;
    // Spaces behind the numbers: what is in flight shall not fit one request.
    let padding = transport.capabilities().limits.payload.min(800_000) / 100;
    for (round, event) in EVENTS.into_iter().enumerate() {
        let first = |n| (round * 4 + n) * SIZE;
        let mut publishes: Vec<Vec<Message>> =
            (0..4).map(|n| interleaved(&topic, &KEYS, first(n)..first(n + 1))).collect();
        for m in publishes.iter_mut().flatten() {
            let mut payload = m.payload.to_vec();
            payload.resize(padding.max(payload.len()), b' ');
            m.payload = payload.into();
        }
        let outs: Vec<Outcomes> = publishes.iter().map(|messages| Outcomes::new(messages.len())).collect();
        happen::<H>(event, &transport, &*faults, &publishes, &outs).await;
        let said: Vec<Said> = outs.iter().flat_map(said).collect();
        faults.heal();
        let look = |seen: &[_]| KEYS.iter().try_for_each(|key| gapless(seen, key));
        let after = |seen: Seen| Seen::new(format!("after {event:?}: {seen}"));
        look(&harness.stored().await).map_err(after)?;
        let sent: Vec<Message> = publishes.into_iter().flatten().collect();
        let left = sent.iter().zip(&said).filter(|(_, s)| **s != Said::Delivered).map(|(m, _)| m.clone());
        deliver::<H>(&transport, &left.collect::<Vec<_>>()).await.map_err(after)?;
        look(&stored(&harness, &sent).await?).map_err(after)?;
    }
    Ok(Passed::Kept)
}

/// Hands the publishes over. What has not ended at its deadline is dropped, as by the relay.
async fn happen<H: TransportHarness>(
    event: Event,
    transport: &H::Transport,
    faults: &dyn Faults,
    publishes: &[Vec<Message>],
    outs: &[Outcomes],
) {
    let publish = |n: usize| transport.publish(batch(&publishes[n]), &outs[n]);
    let delivered = || {
        let known = |out: &Outcomes| (0..out.len()).filter(|i| out.get(*i) == Said::Delivered).count();
        outs.iter().map(known).sum::<usize>()
    };
    let (moment, silent) = match event {
        Event::Cut(moment) => (moment, false),
        Event::Silence(moment) => (moment, true),
        Event::Away => {
            faults.refuse();
            let mut early = pin!(join_all((0..2).map(publish)));
            let ended = timeout(H::DEADLINE / 15, &mut early).await.is_ok();
            faults.heal();
            // What ended has to be sent again before anything comes behind it.
            if !ended {
                _ = timeout(H::DEADLINE, join(early, join_all((2..4).map(publish)))).await;
            }
            return;
        }
    };
    let mut all = pin!(join_all((0..4).map(publish)));
    tokio::select! {
        biased;
        _ = &mut all => return,
        () = until(|| delivered() >= moment) => {}
    }
    if silent {
        faults.drop_replies()
    } else {
        faults.cut()
    }
    _ = timeout(if silent { H::DEADLINE / 10 } else { H::DEADLINE }, all).await;
}
