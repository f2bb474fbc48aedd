use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outbox_core::admin::{Admin, DeadLetterFilter, DeadMessage};
use outbox_core::{DeadLetter, ParkedMessage, Settlement, Store};

use super::StoreHarness;
use super::desk::{
    Handed, MANY, RELAY, commit_all, delivered, failed, keyed, message, parked, reader, successor, tags,
};
use crate::suite::ensure;
use crate::{Outcome, Passed, Seen};

const NO_DESK: Passed = Passed::NotDeclared("a desk");
const MINUTE: Duration = Duration::from_secs(60);

async fn desk<H: StoreHarness>(h: &H) -> Option<Arc<dyn Admin>> {
    h.store().await.admin()
}

/// Dead letters `1` to `4` of the keys a, b, a, and none, with reasons; what is left of them is settled.
async fn four_dead<H: StoreHarness>(h: &H) -> Result<Vec<Handed>, Seen> {
    let whole = keyed("a", "1").content_type("application/x-test").header("trace", "ü");
    commit_all(h, [whole, keyed("b", "2"), keyed("a", "3"), message("4")]).await?;
    let first = reader(h).await?;
    let got = first.fetch(MANY).await?;
    ensure!(got.len() == 4, "{:?} handed out of four messages", tags(&got));
    for (m, reason) in got.iter().zip(["Too Large", "refused", "refused", "too late"]) {
        let letter = DeadLetter { seq: m.seq, reason: reason.into(), attempts: 3 };
        first.settle(&Settlement { dead: vec![letter], ..Settlement::default() }).await?;
    }
    first.settle(&delivered([])).await?;
    Ok(got)
}

fn payloads(letters: &[DeadMessage]) -> Vec<String> {
    letters.iter().map(|d| String::from_utf8_lossy(&d.message.payload).into_owned()).collect()
}

pub(super) async fn lists<H: StoreHarness>(h: H) -> Outcome {
    let Some(desk) = desk(&h).await else { return Ok(NO_DESK) };
    let got = four_dead(&h).await?;
    let all = desk.dead_letters(&DeadLetterFilter::all(), None, MANY).await?;
    let mut seqs: Vec<i64> = got.iter().map(|m| m.seq).collect();
    seqs.sort_unstable();
    let listed: Vec<i64> = all.iter().map(|d| d.seq).collect();
    ensure!(listed == seqs, "the numbers {listed:?} are listed of {seqs:?}");
    let Some(one) = all.iter().find(|d| d.message.payload.as_ref() == b"1") else {
        return Err(Seen::new(format!("the payloads {:?} are listed", payloads(&all))));
    };
    let m = &one.message;
    ensure!(
        (m.topic.as_str(), m.event_type.as_str(), m.key.as_deref()) == ("t", "e", Some("a"))
            && m.content_type.as_deref() == Some("application/x-test")
            && m.headers == [("trace".to_owned(), "ü".to_owned())]
            && (one.relay.as_str(), one.reason.as_str(), one.attempts) == (RELAY, "Too Large", 3),
        "{one:?} is not what was put"
    );
    let (now, hour) = (SystemTime::now(), 60 * MINUTE);
    ensure!(one.died_at > now - hour && one.created_at > now - hour, "{one:?} died, or was made, at a wrong time");
    let none = DeadLetterFilter::all;
    for (filter, wanted) in [
        (none().relay(RELAY), &["1", "2", "3", "4"][..]),
        (none().relay("others"), &[]),
        (none().key("a"), &["1", "3"]),
        (none().topic("t").key("b"), &["2"]),
        (none().topic("u"), &[]),
        (none().event_type("e").reason("TOO l"), &["1", "4"]),
        (none().event_type("f"), &[]),
        (none().id(m.id), &["1"]),
        (none().since(one.died_at - hour).until(one.died_at + 24 * hour), &["1", "2", "3", "4"]),
        (none().until(one.died_at - hour), &[]),
        (none().since(one.died_at + 24 * hour), &[]),
    ] {
        let mut found = payloads(&desk.dead_letters(&filter, None, MANY).await?);
        found.sort();
        ensure!(found == wanted, "{filter:?} gave {found:?} where {wanted:?} are meant");
    }
    let mut paged: Vec<DeadMessage> = Vec::new();
    while let next = desk.dead_letters(&none(), paged.last(), 3).await?
        && !next.is_empty()
    {
        ensure!(next.len() <= 3 && paged.len() < 9, "{} are a page of 3", next.len());
        paged.extend(next);
    }
    ensure!(paged == all, "page by page {:?} are listed of {:?}", payloads(&paged), payloads(&all));
    Ok(Passed::Kept)
}

pub(super) async fn tells_attempts<H: StoreHarness>(h: H) -> Outcome {
    let Some(desk) = desk(&h).await else { return Ok(NO_DESK) };
    commit_all(&h, [keyed("a", "1")]).await?;
    let reader = reader(&h).await?;
    let got = reader.fetch(MANY).await?;
    let Some(m) = got.first() else { return Err(Seen::new("nothing was handed out")) };
    for (attempts, error) in [(1, "no\nanswer"), (2, "still none")] {
        let (key, last_error) = (Some("a".to_owned()), Some(error.to_owned()));
        let row = ParkedMessage { attempts, last_error, due_in: 60 * MINUTE, key, ..failed(m.seq) };
        reader.settle(&parked([row])).await?;
    }
    let waiting = desk.waiting(RELAY, None, MANY).await?;
    if waiting.iter().any(|w| w.attempts != 2) {
        return Ok(Passed::Kept); // Clause PARK-2 has more to say.
    }
    let errors: Vec<_> = waiting.iter().map(|w| w.last_error.as_deref()).collect();
    ensure!(errors == [Some("still none")], "{errors:?} waits for its third attempt");
    let letter = DeadLetter { seq: m.seq, reason: "refused".into(), attempts: 3 };
    reader.settle(&Settlement { dead: vec![letter], ..Settlement::default() }).await?;
    reader.settle(&delivered([])).await?;
    let all = desk.dead_letters(&DeadLetterFilter::all(), None, MANY).await?;
    let told: Vec<String> = all.iter().flat_map(|d| &d.history).map(|error| error.replace('\n', " ")).collect();
    ensure!(told == ["still none", "no answer"], "of a dead letter the attempts ended in {told:?}");
    Ok(Passed::Kept)
}

pub(super) async fn replays<H: StoreHarness>(h: H) -> Outcome {
    let Some(desk) = desk(&h).await else { return Ok(NO_DESK) };
    let got = four_dead(&h).await?;
    let replayed = desk.replay(&DeadLetterFilter::all().key("a"), None).await?;
    ensure!(replayed == 2, "{replayed} were replayed of two");
    let left = payloads(&desk.dead_letters(&DeadLetterFilter::all(), None, MANY).await?);
    ensure!(left == ["2", "4"] || left == ["4", "2"], "{left:?} are dead letters still");
    let mut wanted = vec![got[0].seq, got[2].seq];
    wanted.sort_unstable();
    let waiting = desk.waiting(RELAY, None, MANY).await?;
    let due = waiting.iter().all(|w| w.attempts == 0 && w.due_in.is_zero() && w.key.as_deref() == Some("a"));
    let seqs: Vec<i64> = waiting.iter().map(|w| w.seq).collect();
    ensure!(seqs == wanted && due, "{waiting:?} waits where {wanted:?} was replayed, to be due at once");
    let next = successor(&h).await?;
    let read = next.read(&wanted).await?;
    ensure!(tags(&read) == ["1", "3"], "read gave {:?} of what was replayed", tags(&read));
    Ok(Passed::Kept)
}

pub(super) async fn paces<H: StoreHarness>(h: H) -> Outcome {
    let Some(desk) = desk(&h).await else { return Ok(NO_DESK) };
    four_dead(&h).await?;
    desk.replay(&DeadLetterFilter::all(), Some(1)).await?;
    let due: Vec<Duration> = desk.waiting(RELAY, None, MANY).await?.iter().map(|w| w.due_in).collect();
    ensure!(due.len() == 4, "{} wait of four", due.len());
    // Some may be due by now, where the store is slow.
    let apart = due.windows(2).all(|two| two[0] < two[1] || two[1].is_zero());
    ensure!(apart && !due[3].is_zero() && due[3] <= Duration::from_secs(3), "they are due in {due:?}");
    Ok(Passed::Kept)
}

pub(super) async fn discards<H: StoreHarness>(h: H) -> Outcome {
    let Some(desk) = desk(&h).await else { return Ok(NO_DESK) };
    four_dead(&h).await?;
    let discarded = desk.discard(&DeadLetterFilter::all().reason("refused")).await?;
    ensure!(discarded == 2, "{discarded} were discarded of two");
    let mut left = payloads(&desk.dead_letters(&DeadLetterFilter::all(), None, MANY).await?);
    left.sort();
    ensure!(left == ["1", "4"], "{left:?} are dead letters still");
    for lease in ["the next lease", "the one after it"] {
        let next = successor(&h).await?;
        let handed = next.drain(MANY).await?;
        ensure!(next.parked.is_empty() && handed.is_empty(), "{lease} has {:?} and {:?}", next.parked, tags(&handed));
    }
    Ok(Passed::Kept)
}

pub(super) async fn waiting<H: StoreHarness>(h: H) -> Outcome {
    let Some(desk) = desk(&h).await else { return Ok(NO_DESK) };
    commit_all(&h, [keyed("a", "1"), keyed("b_", "2"), keyed("bc", "3")]).await?;
    let first = reader(&h).await?;
    let got = first.fetch(MANY).await?;
    ensure!(got.len() == 3, "{:?} handed out of three messages", tags(&got));
    let with_key =
        |i: usize, key: &str| ParkedMessage { key: Some(key.into()), due_in: 60 * MINUTE, ..failed(got[i].seq) };
    first.settle(&parked([with_key(0, "a"), with_key(1, "b_"), with_key(2, "bc")])).await?;
    let all = desk.waiting(RELAY, None, MANY).await?;
    let listed: Vec<_> = all.iter().map(|w| (w.seq, w.key.as_deref(), w.attempts, w.last_error.as_deref())).collect();
    let mut wanted: Vec<_> =
        [(0, "a"), (1, "b_"), (2, "bc")].map(|(i, key)| (got[i].seq, Some(key), 1, Some("refused"))).into();
    wanted.sort_unstable();
    ensure!(listed == wanted, "{listed:?} are listed as waiting of {wanted:?}");
    let page = desk.waiting(RELAY, all.first(), 1).await?;
    ensure!(page.len() == 1 && page[0].id == all[1].id, "{page:?} comes behind {:?}", all[0]);
    let retried = desk.retry(RELAY, Some("b_")).await?;
    ensure!(retried == 1, "{retried} were given their attempts anew of one");
    let now = desk.waiting(RELAY, None, MANY).await?;
    let changed: Vec<i64> = now.iter().filter(|w| w.attempts == 0 && w.due_in.is_zero()).map(|w| w.seq).collect();
    ensure!(changed == [got[1].seq], "{now:?} waits, where {} was given its attempts anew", got[1].seq);
    let Some(id) = all.iter().find(|w| w.seq == got[0].seq).map(|w| w.id) else {
        return Err(Seen::new("the first message is not listed"));
    };
    ensure!(desk.give_up(RELAY, id).await?, "a message that waits was not found by its id");
    ensure!(!desk.give_up(RELAY, id).await?, "one that waits no more was found");
    let letters = desk.dead_letters(&DeadLetterFilter::all(), None, MANY).await?;
    ensure!(payloads(&letters) == ["1"] && letters[0].reason == "refused", "{letters:?} are dead letters");
    let left = desk.waiting(RELAY, None, MANY).await?;
    ensure!(left.len() == 2 && left.iter().all(|w| w.seq != got[0].seq), "{left:?} waits still");
    Ok(Passed::Kept)
}

pub(super) async fn pauses<H: StoreHarness>(h: H) -> Outcome {
    let Some(desk) = desk(&h).await else { return Ok(NO_DESK) };
    let reader = reader(&h).await?;
    let orders = async || reader.store.orders(RELAY).await;
    let begin = orders().await?;
    ensure!(!begin.paused && begin.paused_keys.is_empty(), "{begin:?} at the beginning");
    for _ in 0..2 {
        desk.pause(RELAY).await?;
        desk.pause_key(RELAY, "ключ ").await?;
    }
    desk.pause_key(RELAY, "ключ").await?;
    let mut paused = orders().await?;
    paused.paused_keys.sort();
    ensure!(paused.paused && paused.paused_keys == ["ключ", "ключ "], "{paused:?} is ordered");
    let told: Vec<_> = desk.paused().await?.into_iter().map(|p| (p.relay, p.key)).collect();
    let wanted = [None, Some("ключ"), Some("ключ ")].map(|key| (RELAY.to_owned(), key.map(str::to_owned)));
    ensure!(told.len() == 3 && wanted.iter().all(|w| told.contains(w)), "{told:?} are paused of {wanted:?}");
    desk.resume_key(RELAY, "ключ").await?;
    let one = orders().await?;
    ensure!(one.paused && one.paused_keys == ["ключ "], "{one:?} is ordered after one key was resumed");
    desk.resume(RELAY).await?;
    desk.resume_key(RELAY, "ключ ").await?;
    let end = orders().await?;
    ensure!(!end.paused && end.paused_keys.is_empty(), "{end:?} after all was resumed");
    ensure!(desk.paused().await?.is_empty(), "something is paused at the end");
    ensure!(desk.pause("nobody").await.is_err(), "a relay that nobody ever ran was paused");
    Ok(Passed::Kept)
}

pub(super) async fn revises<H: StoreHarness>(h: H) -> Outcome {
    let Some(desk) = desk(&h).await else { return Ok(NO_DESK) };
    four_dead(&h).await?;
    let store = h.store().await;
    let mut last = store.orders(RELAY).await?.revision;
    for what in ["pause", "resume", "pause_key", "resume_key", "replay", "retry"] {
        match what {
            "pause" => desk.pause(RELAY).await?,
            "resume" => desk.resume(RELAY).await?,
            "pause_key" => desk.pause_key(RELAY, "k").await?,
            "resume_key" => desk.resume_key(RELAY, "k").await?,
            "replay" => _ = desk.replay(&DeadLetterFilter::all(), Some(1)).await?,
            _ => _ = desk.retry(RELAY, None).await?,
        }
        let now = store.orders(RELAY).await?.revision;
        ensure!(now > last, "the revision is {now} after {what}, and was {last} before");
        last = now;
    }
    Ok(Passed::Kept)
}
