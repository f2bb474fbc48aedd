use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::pin::pin;

use futures_util::future::join;
use tokio::select;
use tokio::sync::{Mutex, watch};
use tokio::task::unconstrained;

use super::part::Part;
use crate::transport::Outcome;
use crate::{Batch, KeyOrder, Outcomes, Transport};

/// The publishes that wait in a layer around one transport. Where that is `Gapless` they reach it in the order of their
/// first polls, and none does behind one that failed, until all that were under way have ended.
#[derive(Debug)]
pub(super) struct Line {
    gapless: bool,
    /// Fair. Held until the inner publish was polled for the first time.
    turn: Mutex<()>,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: BTreeSet<u64>,
    next: u64,
    /// Nothing more is handed over until nothing is under way: a publish was dropped, or nothing of it was stored.
    broken: bool,
    /// Keys of which a message failed while others were stored.
    held: HashMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    /// Until all publishes below this number have ended: they were under way when it failed.
    before: u64,
    /// Where the destination failed.
    destination: Option<String>,
}

impl Line {
    pub(super) fn of(inner: &impl Transport) -> Self {
        let gapless = inner.capabilities().key_order == KeyOrder::Gapless;
        Self { gapless, turn: Mutex::default(), state: watch::Sender::default() }
    }

    pub(super) fn is_gapless(&self) -> bool {
        self.gapless
    }

    /// Publishes when `admitted` ends, whose output is kept until the publish has ended. What it waits in must be fair.
    pub(super) async fn publish<G>(
        &self,
        inner: &impl Transport,
        batch: Batch,
        out: &Outcomes,
        admitted: impl Future<Output = G>,
    ) {
        // Tokio lets a task that was busy for long wait once more, which must not change the order.
        if !self.gapless {
            let _admitted = unconstrained(admitted).await;
            return inner.publish(batch, out).await;
        }
        // Given back when the place was judged: whoever is let in next sees that.
        let (_admitted, turn);
        let mut place = self.enter(&batch, out);
        (_admitted, turn) = select! {
            biased;
            () = place.lost() => return,
            both = unconstrained(join(admitted, self.turn.lock())) => both,
        };
        let Some(part) = place.still_free() else { return };
        let (batch, out) = part.as_ref().map_or((batch, out), |part| (part.batch(), part.said()));
        let (mut turn, mut publish) = (Some(turn), pin!(inner.publish(batch, out)));
        poll_fn(|cx| {
            let polled = publish.as_mut().poll(cx);
            turn = None;
            polled
        })
        .await;
    }

    fn enter<'a>(&'a self, batch: &Batch, out: &Outcomes) -> Place<'a> {
        let mut number = 0;
        self.state.send_if_modified(|state| {
            number = state.next;
            state.next += 1;
            state.under_way.insert(number);
            false
        });
        Place { line: self, number, batch: batch.clone(), out: out.clone(), left_out: false }
    }
}

/// A publish under way. However it ends, what of it was not stored holds the line.
struct Place<'a> {
    line: &'a Line,
    number: u64,
    batch: Batch,
    out: Outcomes,
    /// All of its keys were held already.
    left_out: bool,
}

impl Place<'_> {
    /// Ends when nothing more is handed over.
    async fn lost(&self) {
        _ = self.line.state.subscribe().wait_for(|state| state.broken).await;
    }

    /// What may be handed over now: nothing, all (`Some(None)`), or a part. Of what is left out it is said why.
    fn still_free(&mut self) -> Option<Option<Part>> {
        let state = self.line.state.borrow();
        if state.broken {
            return None;
        }
        if state.held.is_empty() {
            return Some(None);
        }
        let mut free = Vec::with_capacity(self.batch.len());
        for m in self.batch.iter() {
            match m.key_within_topic().and_then(|lane| state.held.get(&lane)) {
                None => free.push(m.index()),
                Some(Held { destination: Some(reason), .. }) => self.out.destination(m, reason.as_str()),
                Some(_) => self.out.unknown(m, "an earlier message of its key was not stored"),
            }
        }
        self.left_out = free.is_empty();
        match free.len() {
            0 => None,
            all if all == self.batch.len() => Some(None),
            _ => Some(Some(Part::new(&self.batch, free, &self.out))),
        }
    }

    /// What failed holds the line, as the relay judges it: where nothing was answered, all of it.
    fn judge(&self, state: &mut State) {
        if self.left_out || self.out.all_delivered() {
            return;
        }
        let said = self.out.all();
        let answered = said.iter().any(|o| matches!(o, Outcome::Delivered | Outcome::Destination(_)));
        if !answered {
            state.broken |= said.iter().any(|o| matches!(o, Outcome::Unknown(_)));
            return;
        }
        for (m, outcome) in self.batch.iter().zip(said) {
            let destination = match outcome {
                Outcome::Destination(reason) => Some(reason),
                Outcome::Unknown(_) | Outcome::Panicked => None,
                Outcome::Delivered | Outcome::Rejected(_) => continue,
            };
            if let Some(lane) = m.key_within_topic() {
                // One that was left out does not hold its key for longer.
                state.held.entry(lane).or_insert(Held { before: state.next, destination });
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.state.send_if_modified(|state| {
            self.judge(state);
            state.under_way.remove(&self.number);
            match state.under_way.first() {
                None => (state.broken, state.held) = (false, HashMap::new()),
                Some(first) => state.held.retain(|_, held| held.before > *first),
            }
            state.broken
        });
    }
}
