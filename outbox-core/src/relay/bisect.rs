//! A panic in a transport costs the message that it is about, and no other: what the panic left unsaid is published
//! again in halves, down to single messages.

use std::collections::HashSet;
use std::ops::Range;
use std::panic::AssertUnwindSafe;

use futures_util::future::FutureExt;

use crate::transport::Outcome;
use crate::{Batch, Outcomes, Transport};

/// Publishes the batch; a panic is caught.
///
/// `alone`: no other publish holds messages of its keys. Else nothing of it is published again here, where it would
/// come behind those: it is unknown, and the machine tries single messages as after an outage.
pub(super) async fn publish(transport: &dyn Transport, batch: &Batch, alone: bool, out: &Outcomes) {
    if caught(transport, batch.clone(), out).await {
        return;
    }
    if !alone && batch.len() > 1 {
        return tracing::error!(messages = batch.len(), "the transport panicked; its messages are tried singly");
    }
    tracing::error!(messages = batch.len(), "the transport panicked; what it left unsaid is tried in halves");
    // Nothing of a key passes an earlier message of it that was not delivered.
    let mut held: HashSet<u64> = HashSet::new();
    let mut left: Vec<Range<usize>> = halves(0..batch.len());
    while let Some(range) = left.pop() {
        let free = |i: &usize| batch.get(*i).key_hash().is_none_or(|key| !held.contains(&key));
        let piece: Vec<usize> = range.clone().filter(|i| out.is_unsaid(*i)).filter(free).collect();
        if piece.is_empty() {
            continue;
        }
        let said = Outcomes::new(piece.len());
        let messages = Batch::from_slots(piece.iter().map(|i| batch.slot(*i)).collect());
        let returned = caught(transport, messages, &said).await;
        said.close();
        for (n, i) in piece.iter().enumerate() {
            if !said.is_unsaid(n) {
                out.copy(*i, said.get(n));
            }
        }
        match (returned, &piece[..]) {
            (false, [only]) => out.panicked(*only),
            (false, _) => {
                left.extend(halves(range));
                continue;
            }
            (true, _) => {}
        }
        held.extend(
            piece.iter().filter(|i| out.get(**i) != Outcome::Delivered).filter_map(|i| batch.get(*i).key_hash()),
        );
    }
}

/// The first half last: it is taken first.
fn halves(range: Range<usize>) -> Vec<Range<usize>> {
    let middle = range.start + range.len() / 2;
    [middle..range.end, range.start..middle].into_iter().filter(|half| !half.is_empty()).collect()
}

/// Whether it returned.
async fn caught(transport: &dyn Transport, batch: Batch, out: &Outcomes) -> bool {
    AssertUnwindSafe(transport.publish(batch, out)).catch_unwind().await.is_ok()
}
