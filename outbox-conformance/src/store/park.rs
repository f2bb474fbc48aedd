use std::time::Duration;

use outbox_core::{Message, MessageRef, ParkedMessage, Settlement, Store};

use super::StoreHarness;
use super::desk::{
    Handed, MANY, RELAY, commit, commit_all, dead, delivered, failed, keyed, message, parked, reader, successor, tags,
};
use crate::suite::ensure;
use crate::{Outcome, Passed, Seen};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn given_by_acquire<H: StoreHarness>(h: H) -> Outcome {
    commit_all(&h, [keyed("k", "1 fails"), keyed("k", "2 waits"), message("3 unkeyed"), message("4 far")]).await?;
    let first = reader(&h).await?;
    let got = first.fetch(MANY).await?;
    ensure!(got.len() == 4, "{:?} handed out of four messages", tags(&got));
    let row = |i: usize, key: Option<&str>, attempts, due_in, error: Option<&str>| ParkedMessage {
        seq: got[i].seq,
        key: key.map(str::to_owned),
        attempts,
        due_in,
        last_error: error.map(str::to_owned),
    };
    let century = 100 * 365 * 24 * 60 * MINUTE;
    let rows = [
        row(0, Some("k"), 3, 10 * MINUTE, Some("zurückgewiesen: 拒否")),
        row(1, Some("k"), 0, Duration::ZERO, None),
        row(2, None, 1, Duration::ZERO, Some("")),
        row(3, None, 7, century, Some("later")),
    ];
    first.settle(&parked([rows[3].clone(), rows[1].clone(), rows[0].clone(), rows[2].clone()])).await?;
    let mut rows = rows;
    rows.sort_by_key(|p| p.seq);
    for lease in ["the next lease", "the one after it"] {
        let next = successor(&h).await?;
        let (found, seqs) = (&next.parked, next.parked_seqs());
        ensure!(seqs == rows.each_ref().map(|p| p.seq), "{lease} was given {seqs:?} as parked");
        for (found, put) in found.iter().zip(&rows) {
            let same = ParkedMessage { due_in: put.due_in, ..found.clone() } == *put;
            ensure!(same, "{lease} was given {found:?}; parked was {put:?}");
            // A lease may have grown old meanwhile by moving the clock on.
            let latest = put.due_in.saturating_sub(5 * MINUTE);
            ensure!(
                latest <= found.due_in && found.due_in <= put.due_in,
                "{lease} was given {:?} as the time to an attempt that was due in {:?}",
                found.due_in,
                put.due_in
            );
        }
    }
    Ok(Passed::Kept)
}

pub(super) async fn parked_again<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1"]).await?;
    let first = reader(&h).await?;
    let seq = first.fetch(MANY).await?[0].seq;
    first.settle(&parked([failed(seq)])).await?;
    let second = successor(&h).await?;
    let newer = ParkedMessage { attempts: 2, due_in: 30 * MINUTE, last_error: Some("again".into()), ..failed(seq) };
    second.settle(&parked([newer])).await?;
    let found = successor(&h).await?.parked;
    let [p] = &found[..] else { return Err(Seen::new(format!("{} messages are parked of one", found.len()))) };
    ensure!(
        p.attempts == 2 && p.last_error.as_deref() == Some("again") && p.due_in > 20 * MINUTE,
        "{p:?} is parked; the new figures are 2 attempts, due in 30 min, \"again\""
    );
    Ok(Passed::Kept)
}

pub(super) async fn unparked<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1", "2", "3", "4"]).await?;
    let first = reader(&h).await?;
    let got = first.fetch(MANY).await?;
    ensure!(got.len() == 4, "{:?} handed out of four messages", tags(&got));
    // The last one was parked in the relay's memory only.
    first.settle(&parked(got[..3].iter().map(|m| failed(m.seq)))).await?;
    let unparked = |seqs: &[i64]| Settlement { unparked: seqs.to_vec(), ..Settlement::default() };
    first.settle(&unparked(&[got[3].seq])).await?;
    let second = successor(&h).await?;
    let read = second.read(&[got[0].seq, got[1].seq]).await?;
    ensure!(read.len() == 2, "read gave {:?} of two parked messages", tags(&read));
    second.settle(&unparked(&[got[0].seq, got[1].seq])).await?;
    for lease in ["the next lease", "the one after it"] {
        let next = successor(&h).await?;
        let seqs = next.parked_seqs();
        ensure!(seqs == [got[2].seq], "{lease} was given {seqs:?} as parked, where [{}] is", got[2].seq);
        let all: Vec<Handed> = next.drain(MANY).await?.into_iter().filter(|m| m.seq != got[2].seq).collect();
        ensure!(all.is_empty(), "{lease} was handed out {:?}, which were delivered", tags(&all));
    }
    Ok(Passed::Kept)
}

pub(super) async fn read<H: StoreHarness>(h: H) -> Outcome {
    let whole = message("1").key("k").content_type("text/plain").header("a", "ü");
    commit_all(&h, [whole, message("2"), message("3")]).await?;
    let first = reader(&h).await?;
    let given = first.batch(MANY).await?;
    first.settle(&parked(given.iter().map(|m| failed(m.seq())))).await?;
    let second = successor(&h).await?;
    let mut asked: Vec<i64> = given.iter().map(|m| m.seq()).filter(|seq| *seq != given.get(1).seq()).collect();
    asked.sort_unstable();
    ensure!(asked.len() == 2, "{} messages handed out of three", given.len());
    asked.push(asked[1] + 1_000_000);
    let batch = second.store.read(&second.lease, &asked).await?;
    let mut seqs: Vec<i64> = batch.iter().map(|m| m.seq()).collect();
    seqs.sort_unstable();
    ensure!(seqs == asked[..2], "read gave {seqs:?} of {asked:?}, the last of which no message has");
    for m in batch.iter() {
        let before = given.iter().find(|before| before.seq() == m.seq());
        let before = before.map(|before| owned(&before)).transpose()?;
        ensure!(before.as_ref() == Some(&owned(&m)?), "read gave {m:?} where {before:?} was handed out");
    }
    let none = second.read(&[]).await?;
    ensure!(none.is_empty(), "read gave {:?} where nothing was asked for", tags(&none));
    Ok(Passed::Kept)
}

pub(super) async fn letter_is_whole<H: StoreHarness>(h: H) -> Outcome {
    let whole = Message::new("orders.été", "order.created")
        .key("schlüssel")
        .payload((0..=255).collect::<Vec<u8>>())
        .content_type("application/x-test")
        .header("trace", "ü\"1\"")
        .header("other", "");
    commit_all(&h, [whole, message("bare")]).await?;
    let first = reader(&h).await?;
    let given = first.batch(MANY).await?;
    ensure!(given.len() == 2, "{} messages handed out of two", given.len());
    let reasons = ["refusé: 拒否", "no reason"];
    for (m, reason) in given.iter().zip(reasons) {
        first.settle(&dead(m.seq(), reason)).await?;
    }
    first.settle(&delivered([])).await?;
    let letters = h.dead_letters(RELAY).await;
    for (m, reason) in given.iter().zip(reasons) {
        let put = owned(&m)?;
        let Some((kept, said)) = letters.iter().find(|(kept, _)| kept.id == put.id) else {
            return Err(Seen::new(format!("no dead letter {} among {}", put.id, letters.len())));
        };
        let mut kept = kept.clone();
        kept.headers.sort();
        ensure!(kept == put, "the dead letter {kept:?} of {put:?}");
        ensure!(said == reason, "the reason {said:?} where {reason:?} was given");
    }
    Ok(Passed::Kept)
}

/// A message as it was handed out, with its headers by name.
fn owned(m: &MessageRef<'_>) -> Result<Message, Seen> {
    let mut message = Message::new(m.topic(), m.event_type()).id(m.id().as_uuid()).payload(m.payload_bytes());
    (message.key, message.content_type) = (m.key().map(str::to_owned), m.content_type().map(str::to_owned));
    message.headers = m.headers()?;
    message.headers.sort();
    Ok(message)
}

pub(super) async fn dead_is_gone<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1 parked before", "2 not parked", "3 alive"]).await?;
    let first = reader(&h).await?;
    let got = first.fetch(MANY).await?;
    first.settle(&parked([failed(got[0].seq)])).await?;
    first.settle(&dead(got[0].seq, "refused")).await?;
    first.settle(&dead(got[1].seq, "refused")).await?;
    first.settle(&delivered([])).await?;
    for lease in ["the next lease", "the one after it"] {
        let next = successor(&h).await?;
        ensure!(next.parked.is_empty(), "{lease} was given {:?} as parked", next.parked);
        let all = next.drain(MANY).await?;
        ensure!(tags(&all) == ["3 alive"], "{lease} was handed out {:?} where [3 alive] is left", tags(&all));
    }
    Ok(Passed::Kept)
}
