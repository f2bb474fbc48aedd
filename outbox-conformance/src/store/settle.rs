use std::time::Duration;

use outbox_core::{Acquired, Settlement, Store};

use super::StoreHarness;
use super::desk::{
    Handed, MANY, RELAY, RIVAL, commit, dead, delivered, failed, parked, reader, request, successor, tags,
};
use crate::suite::ensure;
use crate::{Outcome, Passed};

pub(super) async fn whole_and_renews<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1 parked", "2 unparked", "3 delivered", "4 dead", "5 waits"]).await?;
    let first = reader(&h).await?;
    let got = first.fetch(MANY).await?;
    ensure!(got.len() == 5, "{:?} handed out of five messages", tags(&got));
    let seq = |i: usize| got[i].seq;
    first.settle(&parked([failed(seq(1))])).await?;
    let all = Settlement {
        parked: vec![failed(seq(0))],
        unparked: vec![seq(1)],
        dead: dead(seq(3), "refused").dead,
        ..delivered([seq(2)])
    };
    // For two thirds of the lease before, and after.
    h.age(RELAY, Duration::from_secs(20)).await;
    first.settle(&all).await?;
    h.age(RELAY, Duration::from_secs(20)).await;
    let rival = h.store().await.acquire(&request(RELAY, RIVAL)).await?;
    ensure!(matches!(rival, Acquired::Held(_)), "the lease ran out 20 s after a settlement, of 30 s");
    first.settle(&Settlement::default()).await?;
    h.age(RELAY, Duration::from_secs(20)).await;
    let rival = h.store().await.acquire(&request(RELAY, RIVAL)).await?;
    ensure!(matches!(rival, Acquired::Held(_)), "the lease ran out 20 s after an empty settlement, of 30 s");

    let second = successor(&h).await?;
    let left: Vec<Handed> = second.drain(MANY).await?.into_iter().filter(|m| m.seq != seq(0)).collect();
    ensure!(tags(&left) == ["5 waits"], "{:?} handed out after a settlement of all but the last", tags(&left));
    let is_parked = second.parked_seqs();
    ensure!(is_parked.contains(&seq(0)), "{is_parked:?} is parked, without {}", seq(0));
    let letters = h.dead_letters(RELAY).await;
    ensure!(letters.len() == 1, "{} dead letters where one was settled", letters.len());
    Ok(Passed::Kept)
}

pub(super) async fn never_again<H: StoreHarness>(h: H) -> Outcome {
    let expected: Vec<String> = (0..40).map(|i| format!("m{i:02}")).collect();
    commit(&h, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let first = reader(&h).await?;
    let got = first.drain(MANY).await?;
    ensure!(got.len() == 40, "{} messages handed out of 40", got.len());
    // Out of order, and with gaps; the answer to the last one is lost with its process.
    first.settle(&delivered(got.iter().skip(1).step_by(4).rev().map(|m| m.seq))).await?;
    first.settle(&parked([failed(got[2].seq), failed(got[4].seq)])).await?;
    first.settle(&delivered(got[20..30].iter().map(|m| m.seq))).await?;
    let again = first.drain(MANY).await?;
    ensure!(again.is_empty(), "{:?} handed out a second time under one lease", tags(&again));

    for lease in ["the next lease", "the one after it"] {
        let next = successor(&h).await?;
        let seen = next.drain(7).await?;
        let settled = |i: usize| i % 4 == 1 || i == 2 || i == 4 || (20..30).contains(&i);
        let wrong: Vec<&str> =
            (0..40).filter(|i| settled(*i) && seen.contains(&got[*i])).map(|i| &*expected[i]).collect();
        ensure!(wrong.is_empty(), "{lease} was handed out {wrong:?}, which were delivered or parked");
        let read = next.read(&[got[2].seq, got[4].seq]).await?;
        ensure!(read.len() == 2, "read gave {:?} of the two parked messages", tags(&read));
    }
    Ok(Passed::Kept)
}

pub(super) async fn durable_dead_letter<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1", "2"]).await?;
    let first = reader(&h).await?;
    let got = first.fetch(MANY).await?;
    first.settle(&dead(got[0].seq, "refused")).await?;
    let letters = h.dead_letters(RELAY).await;
    ensure!(letters.len() == 1, "{} dead letters when settle had returned", letters.len());
    let left = successor(&h).await?.drain(MANY).await?;
    ensure!(tags(&left) == ["2"], "the successor was handed out {:?} where [2] is left", tags(&left));
    let letters = h.dead_letters(RELAY).await;
    ensure!(letters.len() == 1, "{} dead letters under the next lease", letters.len());
    Ok(Passed::Kept)
}

pub(super) async fn repeated<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1 delivered", "2 parked", "3 unparked", "4 dead"]).await?;
    let first = reader(&h).await?;
    let got = first.fetch(MANY).await?;
    ensure!(got.len() == 4, "{:?} handed out of four messages", tags(&got));
    let seq = |i: usize| got[i].seq;
    first.settle(&parked([failed(seq(2))])).await?;
    let unparked = Settlement { unparked: vec![seq(2)], ..Settlement::default() };
    let settlements = [delivered([seq(0)]), parked([failed(seq(1))]), unparked, dead(seq(3), "refused")];
    for settlement in &settlements {
        for _ in 0..3 {
            first.settle(settlement).await?;
        }
    }
    first.settle(&Settlement::default()).await?;
    let letters = h.dead_letters(RELAY).await;
    ensure!(letters.len() == 1, "{} dead letters of one message that was settled three times", letters.len());
    let second = successor(&h).await?;
    let left: Vec<Handed> = second.drain(MANY).await?.into_iter().filter(|m| m.seq != seq(1)).collect();
    ensure!(left.is_empty(), "{:?} handed out where all is settled", tags(&left));
    let is_parked = second.parked_seqs();
    let times = is_parked.iter().filter(|s| **s == seq(1)).count();
    ensure!(times == 1, "{is_parked:?} is parked, where {} is", seq(1));
    Ok(Passed::Kept)
}
