use outbox_core::{Limits, Message, StoreErrorKind};

use super::StoreHarness;
use super::desk::{MANY, commit, message, reader, tags};
use crate::suite::ensure;
use crate::{Outcome, Passed};

pub(super) async fn committed<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let mut tx = h.begin().await;
    h.enqueue(&mut tx, message("a")).await?;
    h.enqueue(&mut tx, message("b")).await?;
    let before = reader.fetch(MANY).await?;
    ensure!(before.is_empty(), "{:?} handed out before the commit", tags(&before));
    h.commit(tx).await?;
    let after = reader.fetch(MANY).await?;
    ensure!(tags(&after) == ["a", "b"], "{:?} handed out after [a, b] were committed", tags(&after));
    Ok(Passed::Kept)
}

pub(super) async fn rolled_back<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let mut tx = h.begin().await;
    h.enqueue(&mut tx, message("undone")).await?;
    h.rollback(tx).await;
    let empty = reader.fetch(MANY).await?;
    ensure!(empty.is_empty(), "{:?} handed out after the rollback", tags(&empty));
    commit(&h, &["later"]).await?;
    let later = reader.drain(MANY).await?;
    ensure!(tags(&later) == ["later"], "{:?} handed out where only [later] was committed", tags(&later));
    Ok(Passed::Kept)
}

pub(super) async fn savepoint<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let mut tx = h.begin().await;
    h.enqueue(&mut tx, message("before")).await?;
    let supported = h.savepoint(&mut tx, message("undone")).await?;
    h.enqueue(&mut tx, message("after")).await?;
    h.commit(tx).await?;
    let all = reader.drain(MANY).await?;
    ensure!(
        tags(&all) == ["after", "before"],
        "{:?} handed out of a transaction that enqueued both, and between them one behind a savepoint that \
         was rolled back",
        tags(&all)
    );
    Ok(if supported { Passed::Kept } else { Passed::NotShown("savepoint") })
}

pub(super) async fn refused<H: StoreHarness>(h: H) -> Outcome {
    let reader = reader(&h).await?;
    let bad = [
        ("an empty topic", Message::new("", "e")),
        ("an empty event type", Message::new("t", "")),
        ("an empty key", message("x").key("")),
        ("a topic that is too long", Message::new("t".repeat(Limits::DEFAULT.topic + 1), "e")),
        ("a key that is too long", message("x").key("k".repeat(Limits::DEFAULT.key + 1))),
        ("NUL in a key", message("x").key("a\0b")),
        ("a line feed in a topic", Message::new("a\nb", "e")),
        ("NUL in a header", message("x").header("name", "a\0b")),
        ("a header without a name", message("x").header("", "value")),
    ];
    let mut tx = h.begin().await;
    h.enqueue(&mut tx, message("before")).await?;
    for (what, message) in bad {
        match h.enqueue(&mut tx, message).await {
            Ok(()) => ensure!(false, "{what} was taken"),
            Err(e) => {
                ensure!(e.kind() == StoreErrorKind::InvalidMessage, "{what} was refused with {:?}: {e}", e.kind())
            }
        }
    }
    h.enqueue(&mut tx, message("after")).await?;
    h.commit(tx).await?;
    let all = reader.drain(MANY).await?;
    ensure!(
        tags(&all) == ["after", "before"],
        "{:?} handed out of a transaction that enqueued both, and between them messages that were refused",
        tags(&all)
    );
    Ok(Passed::Kept)
}
