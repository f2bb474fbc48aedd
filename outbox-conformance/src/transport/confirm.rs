//! `CONFIRM`: what may be said of a message.

use std::pin::pin;
use std::time::Duration;

use outbox_core::transport::Outcome as Said;
use outbox_core::{Message, Outcomes, Transport};
use tokio::time::{Instant, timeout};

use super::drive::{batch, deliver, name, numbered, pace, publish, said, stored};
use super::{FAULTS, Faults, TransportHarness};
use crate::Seen;
use crate::suite::{Outcome, Passed, ensure};

/// How many messages no answer comes to.
const MANY_UNANSWERED: usize = 30;
/// How many messages are in a batch with many refused ones: enough for a broker to acknowledge many at once.
const CROWD: usize = 300;
/// Each so many-th of them is to a topic that is not there.
const ASTRAY: usize = 7;

/// Many rounds, each looked at in the very moment of its acknowledgement.
pub(super) async fn acknowledged_means_stored<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("acknowledged").await;
    let transport = harness.transport().await;
    let mut delivered = 0;
    for round in 0..10 {
        let sent: Vec<Message> = (0..20)
            .map(|n| Message::new(&topic, "order.created").key(format!("k{n}")).text(format!("{round}/{n}")))
            .collect();
        let said = publish::<H>(&transport, &sent).await;
        let stored = harness.stored().await;
        for m in sent.iter().zip(&said).filter(|(_, s)| **s == Said::Delivered).map(|(m, _)| m) {
            delivered += 1;
            let there = stored.iter().any(|s| s.payload == m.payload);
            ensure!(there, "{} was delivered, and is not stored", name(m));
        }
        if round == 0 {
            deliver::<H>(&transport, &sent).await?;
        }
    }
    ensure!(delivered > 0, "nothing was delivered");
    Ok(Passed::Kept)
}

/// An outage is no property of a message.
pub(super) async fn an_outage_is_unknown<H: TransportHarness>(mut harness: H) -> Outcome {
    let Some(faults) = harness.faults().await else { return Ok(Passed::NotShown(FAULTS)) };
    let topic = harness.topic("outage").await;
    let transport = harness.transport().await;
    deliver::<H>(&transport, &numbered(&topic, "warm", 0..1)).await?;
    faults.refuse();
    let sent: Vec<Message> =
        (0..5).map(|n| Message::new(&topic, "order.created").key(format!("k{n}")).text(format!("away/{n}"))).collect();
    let said = publish::<H>(&transport, &sent).await;
    faults.heal();
    for (m, said) in sent.iter().zip(said) {
        ensure!(matches!(said, Said::Unknown(_)), "the broker could not be reached, and {} was {said:?}", name(m));
    }
    Ok(Passed::Kept)
}

pub(super) async fn a_lost_reply_is_unknown<H: TransportHarness>(mut harness: H) -> Outcome {
    let Some(faults) = harness.faults().await else { return Ok(Passed::NotShown(FAULTS)) };
    let topic = harness.topic("lost-reply").await;
    let transport = harness.transport().await;
    deliver::<H>(&transport, &numbered(&topic, "warm", 0..1)).await?;
    faults.drop_replies();
    let sent = numbered(&topic, "unanswered", 0..1);
    let out = Outcomes::new(1);
    {
        let mut publish = pin!(transport.publish(batch(&sent), &out));
        let ended = timeout(H::DEADLINE / 2, &mut publish).await.is_ok();
        let (early, who) = (out.get(0), name(&sent[0]));
        faults.heal();
        ensure!(matches!(early, Said::Unknown(_)), "every reply of the broker was lost, and {who} was {early:?}");
        if !ended {
            _ = timeout(H::DEADLINE, publish).await;
        }
    }
    // By now an answer may have come after all.
    let late = &said(&out)[0];
    ensure!(matches!(late, Said::Unknown(_) | Said::Delivered), "a reply was lost, and the message was {late:?}");
    // Whoever sends it again, for instance a successor.
    deliver::<H>(&harness.transport().await, &sent).await?;
    stored(&harness, &sent).await?;
    silence_costs_many_what_it_costs_one(&harness, &topic, &*faults).await?;
    Ok(Passed::Kept)
}

/// Where a transport ends a publish by itself when the broker is silent: it waits for all acknowledgements at once.
async fn silence_costs_many_what_it_costs_one<H: TransportHarness>(
    harness: &H,
    topic: &str,
    faults: &dyn Faults,
) -> Result<(), Seen> {
    let unanswered = async |label: &str, count: usize, within: Duration| {
        // One of its own: what becomes of a transport after a publish was dropped is another clause's matter.
        let transport = harness.transport().await;
        deliver::<H>(&transport, &numbered(topic, &format!("before-{label}"), 0..1)).await?;
        let sent: Vec<Message> = (0..count).flat_map(|n| numbered(topic, &format!("{label}-{n}"), 0..1)).collect();
        faults.drop_replies();
        let (out, start) = (Outcomes::new(count), Instant::now());
        let ended = timeout(within, transport.publish(batch(&sent), &out)).await.is_ok();
        said(&out);
        let took = start.elapsed();
        faults.heal();
        Ok::<_, Seen>(ended.then_some(took))
    };
    let Some(alone) = unanswered("alone", 1, H::DEADLINE / 2).await? else { return Ok(()) };
    let most = alone * 4 + H::DEADLINE / 10;
    let many = unanswered("many", MANY_UNANSWERED, most).await?;
    ensure!(
        many.is_some(),
        "the broker was silent: a publish of one message gave up after {alone:?}, and one of {MANY_UNANSWERED} messages \
         had not ended after {most:?}"
    );
    Ok(())
}

/// A refused message, or one to a topic that is not there, in the midst of good ones.
pub(super) async fn a_refused_message_costs_only_itself<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("refused").await;
    let nowhere = harness.nowhere().await;
    let nowhere = nowhere.map(|topic| Message::new(topic, "order.created").text("to nowhere"));
    let bad: Vec<Message> = harness.poison().await.into_iter().chain(nowhere).collect();
    if bad.is_empty() {
        return Ok(Passed::NotShown("message or topic that the broker refuses"));
    }
    for (round, bad) in bad.into_iter().enumerate() {
        let transport = harness.transport().await;
        let good = |n| Message::new(&topic, "order.created").key(format!("{round}-{n}")).text(format!("{round}/{n}"));
        let bad = bad.key(format!("{round}-bad"));
        let mut left: Vec<Message> = (0..9).map(good).collect();
        let neighbours = left.clone();
        left.insert(4, bad.clone());
        let start = tokio::time::Instant::now();
        let mut verdict = None;
        while !left.is_empty() {
            let said = publish::<H>(&transport, &left).await;
            let mut again = Vec::new();
            for (m, said) in left.into_iter().zip(said) {
                match said {
                    Said::Unknown(_) => again.push(m),
                    said if m.id == bad.id => verdict = Some(said),
                    Said::Delivered => {}
                    said => ensure!(false, "beside a refused message, {} was {said:?}", name(&m)),
                }
            }
            left = again;
            let late = !left.is_empty() && start.elapsed() > H::DEADLINE * 3;
            ensure!(!late, "after {:?} there was still no answer on {}", start.elapsed(), name(&left[0]));
            pace().await;
        }
        let text = match &verdict {
            Some(Said::Rejected(why) | Said::Destination(why)) => why,
            other => return Err(Seen::new(format!("the broker refuses {}, and it was {other:?}", name(&bad)))),
        };
        ensure!(!text.is_empty(), "{} was refused without a reason", name(&bad));
        stored(&harness, &neighbours).await?;
    }
    if let Some(nowhere) = harness.nowhere().await {
        many_astray_among_many::<H>(&harness, &topic, &nowhere).await?;
    }
    Ok(Passed::Kept)
}

/// Many messages in flight, and many of them to a topic that is not there: each refusal is its own message's.
async fn many_astray_among_many<H: TransportHarness>(harness: &H, topic: &str, nowhere: &str) -> Result<(), Seen> {
    let transport = harness.transport().await;
    let start = Instant::now();
    let mut left: Vec<Message> = (0..CROWD)
        .map(|n| Message::new(if n % ASTRAY == 3 { nowhere } else { topic }, "order.created").key(format!("crowd-{n}")))
        .enumerate()
        .map(|(n, m)| m.text(format!("crowd/{n}")))
        .collect();
    let good: Vec<Message> = left.iter().filter(|m| m.topic == topic).cloned().collect();
    while !left.is_empty() {
        let said = publish::<H>(&transport, &left).await;
        let mut again = Vec::new();
        for (m, said) in left.into_iter().zip(said) {
            match said {
                Said::Unknown(_) => again.push(m),
                Said::Delivered if m.topic == topic => {}
                Said::Rejected(_) | Said::Destination(_) if m.topic == nowhere => {}
                said => ensure!(false, "among many refused ones, {} was {said:?}", name(&m)),
            }
        }
        left = again;
        let late = !left.is_empty() && start.elapsed() > H::DEADLINE * 3;
        ensure!(!late, "after {:?} there was still no answer on {}", start.elapsed(), name(&left[0]));
        pace().await;
    }
    stored(harness, &good).await?;
    Ok(())
}

/// Many publishes at once, the same places in all of them, one of them refused where the broker can.
pub(super) async fn publishes_at_once_do_not_mix<H: TransportHarness>(harness: H) -> Outcome {
    let topic = harness.topic("at-once").await;
    let transport = harness.transport().await;
    deliver::<H>(&transport, &numbered(&topic, "warm", 0..1)).await?;
    for round in 0..5 {
        let good =
            |n| vec![Message::new(&topic, "order.created").key(format!("{round}-{n}")).text(format!("{round}/{n}"))];
        let mut publishes: Vec<Vec<Message>> = (0..8).map(good).collect();
        let bad = harness.poison().await;
        if let Some(bad) = bad.clone() {
            publishes.insert(3, vec![bad.key(format!("{round}-bad"))]);
        }
        let all = publishes.iter().map(|messages| publish::<H>(&transport, messages));
        let said = futures_util::future::join_all(all).await;
        let seen = harness.stored().await;
        for (m, said) in publishes.iter().zip(&said).map(|(messages, said)| (&messages[0], &said[0])) {
            let refused = bad.as_ref().is_some_and(|bad| bad.id == m.id);
            match said {
                Said::Unknown(_) => {}
                Said::Delivered if !refused => {
                    let there = seen.iter().any(|s| s.payload == m.payload)
                        || stored(&harness, std::slice::from_ref(m)).await.is_ok();
                    ensure!(there, "{} was delivered, and is not stored", name(m));
                }
                Said::Rejected(_) if refused => {}
                said => ensure!(false, "{} was {said:?}, which is the outcome of another publish", name(m)),
            }
        }
        let good: Vec<Message> =
            publishes.into_iter().flatten().filter(|m| bad.as_ref().is_none_or(|b| b.id != m.id)).collect();
        deliver::<H>(&transport, &good).await?;
    }
    Ok(Passed::Kept)
}
