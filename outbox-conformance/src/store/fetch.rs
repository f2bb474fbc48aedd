use std::collections::BTreeMap;

use futures_util::FutureExt;

use super::StoreHarness;
use super::desk::{
    Handed, MANY, OWNER, RELAY, acquire, commit, commit_all, keyed, message, on, reader, request, successor, tags,
};
use crate::suite::ensure;
use crate::{Outcome, Passed, Seen};
use outbox_core::TopicFilter;

pub(super) async fn exactly_once<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let expected: Vec<String> = (0..610).map(|i| format!("m{i:03}")).collect();
    commit_all(&h, expected[..600].iter().map(|tag| message(tag))).await?;
    let mut all = reader.drain(50).await?;
    for tag in &expected[600..] {
        commit(&h, &[tag]).await?;
    }
    // Some of it settled, some not: neither comes again.
    reader.deliver(&all[5..100.min(all.len())]).await?;
    all.extend(reader.drain(2).await?);
    all.extend(reader.drain(MANY).await?);
    let mut times: BTreeMap<&str, i32> = expected.iter().map(|tag| (tag.as_str(), 0)).collect();
    all.iter().for_each(|m| *times.entry(&m.tag).or_default() += 1);
    let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != 1).take(10).collect();
    ensure!(wrong.is_empty(), "of 610 messages some were not handed out once, such as {wrong:?}");
    Ok(Passed::Kept)
}

pub(super) async fn key_order<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    for i in 0..7 {
        commit_all(&h, [keyed("k", &format!("{i}a")), keyed("other", "x"), keyed("k", &format!("{i}b"))]).await?;
    }
    let all = reader.drain_in_order(4).await?;
    let of_key: Vec<&str> = tags(&all).into_iter().filter(|tag| *tag != "x").collect();
    ensure!(of_key.is_sorted(), "{of_key:?} is the order of a key whose messages were committed one after the other");
    super::overlap::order(&h, reader).await
}

pub(super) async fn unsettled_first<H: StoreHarness>(h: H) -> Outcome {
    for tag in ["1", "2", "3", "4", "5", "6"] {
        commit(&h, &[tag]).await?;
    }
    let first = reader(&h).await?;
    let got = first.fetch(5).await?;
    first.deliver(&got[1..3]).await?;
    commit(&h, &["7"]).await?;
    let second = successor(&h).await?;
    comes_again(&second.drain_in_order(2).await?, &["1", "4", "5"], &["6", "7"])?;
    // A fetch whose answer never came has handed out its messages for all the store knows.
    let third = successor(&h).await?;
    _ = third.batch(2).now_or_never();
    commit(&h, &["8"]).await?;
    let fourth = successor(&h).await?;
    comes_again(&fourth.drain_in_order(MANY).await?, &["1", "4", "5", "6", "7"], &["8"])?;
    Ok(Passed::Kept)
}

/// What is unsettled has to come, and before anything newer.
fn comes_again(seen: &[Handed], unsettled: &[&str], newer: &[&str]) -> Result<(), Seen> {
    let all = tags(seen);
    let at = |tag: &&str| all.iter().position(|seen| seen == tag);
    let missing: Vec<_> = unsettled.iter().filter(|tag| at(tag).is_none()).collect();
    ensure!(missing.is_empty(), "the successor was handed out {all:?}; {missing:?} was not settled and is lost");
    let last = unsettled.iter().filter_map(at).max();
    let early: Vec<_> = newer.iter().filter(|tag| at(tag) < last).collect();
    ensure!(early.is_empty(), "the successor was handed out {all:?}; {early:?} is newer than {unsettled:?}");
    Ok(())
}

pub(super) async fn limits<H: StoreHarness>(h: H) -> Outcome {
    let keys = ["d", "b", "c", "a"];
    let messages = (0..24).map(|i| keyed(keys[i % 4], &i.to_string()));
    commit_all(&h, messages).await?;
    let first = reader(&h).await?;
    let mut last = Vec::new();
    for limit in [1, 2, 5, 16] {
        last = first.fetch_in_order(limit).await?;
        check(&last, limit)?;
    }
    first.deliver(&last[..1]).await?;
    // What is handed out again to a successor keeps the limit too.
    let second = successor(&h).await?;
    for limit in [1, 3, 10, MANY] {
        check(&second.fetch_in_order(limit).await?, limit)?;
    }
    Ok(Passed::Kept)
}

fn check(batch: &[Handed], limit: usize) -> Result<(), Seen> {
    let seqs: Vec<i64> = batch.iter().map(|m| m.seq).collect();
    ensure!(seqs.len() <= limit, "{} messages handed out with a limit of {limit}", seqs.len());
    ensure!(seqs.windows(2).all(|w| w[0] < w[1]), "the order in a batch is {seqs:?}");
    Ok(())
}

pub(super) async fn empty_at_the_end<H: StoreHarness>(h: H) -> Outcome {
    let mut filtered = request(RELAY, OWNER);
    filtered.topics = TopicFilter::new(["mine"]).unwrap_or_default();
    let reader = acquire(&h, &filtered).await?;
    let nothing = reader.fetch(2).await?;
    ensure!(nothing.is_empty(), "{:?} handed out where nothing was committed", tags(&nothing));
    let foreign = (0..9).map(|i| on("other", &i.to_string()));
    commit_all(&h, foreign.chain([on("mine", "x")])).await?;
    let batch = reader.fetch(2).await?;
    ensure!(tags(&batch) == ["x"], "{:?} handed out where [x] is left, behind messages of another topic", tags(&batch));
    Ok(Passed::Kept)
}
