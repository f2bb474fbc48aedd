use std::time::{Duration, SystemTime};

use outbox_core::{Batch, Message, MessageRef, ParkedMessage};

use super::StoreHarness;
use super::desk::{MANY, RELAY, commit, commit_all, dead, failed, parked, reader, successor};
use crate::suite::ensure;
use crate::{Outcome, Passed, Seen};

/// How far the clocks of a store and a test may be apart.
const APART: Duration = Duration::from_secs(300);
/// Characters of an error that are kept at least.
const KEPT: usize = 1_000;

/// The message that has this tag as its event type.
fn tagged<'b>(batch: &'b Batch, tag: &str) -> Result<MessageRef<'b>, Seen> {
    let found = batch.iter().find(|m| m.event_type() == tag);
    found.ok_or_else(|| Seen::new(format!("{} messages were handed out, without the one tagged {tag:?}", batch.len())))
}

pub(super) async fn payload<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let bytes = |range: std::ops::Range<usize>| range.map(|i| (i * 31 % 256) as u8).collect::<Vec<u8>>();
    let payloads: Vec<(&str, Vec<u8>)> = vec![
        ("no bytes", Vec::new()),
        ("one NUL", vec![0]),
        ("every byte value", (0..=255).collect()),
        ("every byte value downwards", (0..=255).rev().collect()),
        ("what is not UTF-8", vec![0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80]),
        ("JSON with spaces", b" {\"a\": 1,\n \"a\": 1.0} ".to_vec()),
        ("text that looks like an escape", b"\\x00\\000 '' \"".to_vec()),
        ("1 MiB", bytes(0..1 << 20)),
        ("blanks", b"  \t\r\n".to_vec()),
    ];
    for content_type in [None, Some("application/json"), Some("text/plain; charset=utf-8")] {
        let messages = payloads.iter().map(|(what, payload)| {
            let mut message = Message::new("t", *what).payload(payload.clone());
            message.content_type = content_type.map(str::to_owned);
            message
        });
        commit_all(&h, messages).await?;
        let batch = reader.batch(MANY).await?;
        for (what, put) in &payloads {
            let (is, was) = (tagged(&batch, what)?.payload(), put.as_slice());
            let at = is.iter().zip(was).position(|(a, b)| a != b);
            ensure!(
                is == was,
                "a payload ({what}, {content_type:?}) of {} bytes has {} bytes, and differs at {at:?}",
                was.len(),
                is.len()
            );
        }
    }
    Ok(Passed::Kept)
}

pub(super) async fn text<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    // Of one look, but not the same, at the end: composed and not, and of another case.
    let texts = [
        "plain",
        "Größe",
        "日本語",
        "العربية",
        "עברית",
        "हिन्दी",
        "ไทย",
        "한국어",
        "Ελληνικά",
        "🦀👩‍👩‍👧",
        "ﬁ",
        " blanks ",
        "a'b\"c\\d",
        "%_*?",
        "null",
        "{}",
        "\u{1}\t\u{7f}\u{200b}\u{fffd}",
        "$1 ?1 :a",
        "é",
        "e\u{301}",
        "É",
    ];
    let of = |text: &&str| {
        let message = Message::new(*text, *text).key(text).content_type(*text);
        message.header(*text, *text).header(format!("{text}2"), "")
    };
    let mut messages: Vec<Message> = texts.iter().map(of).collect();
    // As long as the limits allow, in bytes.
    let long = Message::new("ü".repeat(127), "é".repeat(127)).key("日".repeat(341)).content_type("ö".repeat(127));
    messages.push(long.header("h".repeat(255), "v".repeat(9_000)));
    messages.push((0..98).fold(of(&"many"), |m, i| m.header(format!("name {i}"), i.to_string())));
    commit_all(&h, messages.clone()).await?;
    let batch = reader.batch(MANY).await?;
    for put in &messages {
        let got = tagged(&batch, &put.event_type)?;
        ensure!(got.topic() == put.topic, "the topic {:?} of {:?}", got.topic(), put.topic);
        ensure!(got.key() == put.key.as_deref(), "the key {:?} of {:?}", got.key(), put.key);
        let (is, was) = (got.content_type(), put.content_type.as_deref());
        ensure!(is == was, "the content type {is:?} of {was:?}");
        let (mut is, mut was) = (got.headers()?, put.headers.clone());
        is.sort();
        was.sort();
        ensure!(is == was, "the headers {is:?} of {was:?}");
    }
    Ok(Passed::Kept)
}

pub(super) async fn identity<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let bare = Message::new("t", "bare");
    let whole = Message::new("t", "whole").key("k").content_type("c").header("a", "b");
    let twin = Message::new("t", "twin").key("k").content_type("c").header("a", "b");
    commit_all(&h, [bare.clone(), whole.clone(), twin.clone()]).await?;
    let batch = reader.batch(MANY).await?;
    for put in [&bare, &whole, &twin] {
        let id = tagged(&batch, &put.event_type)?.id();
        ensure!(id == put.id, "the id {id} of {}", put.id);
    }
    let got = tagged(&batch, "bare")?;
    let present = (got.key(), got.content_type(), got.headers()?);
    ensure!(present == (None, None, Vec::new()), "a message without key, content type and headers has {present:?}");
    Ok(Passed::Kept)
}

pub(super) async fn created_at<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let before = SystemTime::now() - APART;
    commit(&h, &["a", "b"]).await?;
    let after = SystemTime::now() + APART;
    for m in reader.batch(MANY).await?.iter() {
        let at = m.created_at();
        ensure!(before <= at && at <= after, "{at:?} is the time of a message that was enqueued after {before:?}");
    }
    Ok(Passed::Kept)
}

pub(super) async fn errors<H: StoreHarness>(h: H) -> Outcome {
    commit(&h, &["1", "2", "3"]).await?;
    let first = reader(&h).await?;
    let got = first.fetch(MANY).await?;
    let texts = ["quote ' \" \\ \u{1} 拒否 🦀".to_owned(), "a\0b".to_owned(), "拒".repeat(100_000)];
    let row = |(i, text): (usize, &String)| ParkedMessage { last_error: Some(text.clone()), ..failed(got[i].seq) };
    first.settle(&parked(texts.iter().enumerate().map(row))).await?;
    let second = successor(&h).await?;
    let error_of = |seq: i64| second.parked.iter().find(|p| p.seq == seq).and_then(|p| p.last_error.as_deref());
    let kept: Vec<bool> =
        got.iter().zip(&texts).map(|(m, was)| error_of(m.seq).map(start) == Some(start(was))).collect();
    ensure!(kept == [true; 3], "of three errors {kept:?} are kept");
    for (m, text) in got.iter().zip(&texts) {
        second.settle(&dead(m.seq, text)).await?;
    }
    second.settle(&parked([])).await?;
    let mut reasons: Vec<String> = h.dead_letters(RELAY).await.iter().map(|(_, reason)| start(reason)).collect();
    let mut expected: Vec<String> = texts.iter().map(|text| start(text)).collect();
    reasons.sort();
    expected.sort();
    ensure!(
        reasons == expected,
        "of the reasons {} are kept of 3",
        reasons.iter().filter(|r| expected.contains(r)).count()
    );
    Ok(Passed::Kept)
}

/// What of a text must be kept.
fn start(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(KEPT).collect()
}
