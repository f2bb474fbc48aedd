use std::collections::HashSet;
use std::time::Duration;

use outbox_core::wire::WireFormat;
use outbox_core::{Batch, BoxError, InvalidMessage, MessageRef, Outcomes};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::MutexGuard;

use crate::client::Client;
use crate::confirm::Confirmations;
use crate::error::Fault;
use crate::wire::Form;

/// The pause after which a full queue of the client is tried again.
const FULL: Duration = Duration::from_millis(5);

/// Hands a batch to the client, each key in order.
pub(crate) struct Handover<'a> {
    pub(crate) client: &'a Client,
    pub(crate) batch: &'a Batch,
    /// What the records carry, to be added to the index.
    pub(crate) publish: usize,
    pub(crate) out: &'a Outcomes,
    pub(crate) format: &'a WireFormat,
}

/// Why a message could not be handed over.
enum Refusal {
    Message(BoxError),
    Destination(BoxError),
    Unknown(BoxError),
}

/// The right to hand over a batch. Who is dropped with it takes the client along before the next one has it.
struct Turn<'a> {
    held: Option<MutexGuard<'a, ()>>,
    confirmations: &'a Confirmations,
}

impl Turn<'_> {
    fn give_back(&mut self) {
        drop(self.held.take());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.held.is_some() {
            self.confirmations.die();
        }
    }
}

impl Handover<'_> {
    /// Gives how many messages the client has taken. Of the others, what is to be said was said; the client is dead
    /// then, or their topic failed. `turn` is given back when every message was handed over once, or has its place
    /// behind the others of its key.
    pub(crate) async fn run(&self, turn: MutexGuard<'_, ()>) -> usize {
        let confirmations = &self.client.confirmations;
        let (mut left, mut held, mut sent) = ((0..self.batch.len()).collect::<Vec<usize>>(), HashSet::new(), 0);
        let mut turn = Turn { held: Some(turn), confirmations };
        loop {
            let mut answered = std::pin::pin!(confirmations.keys.any_answered());
            answered.as_mut().enable();
            let (before, mut behind) = (std::mem::take(&mut held), Vec::new());
            for i in left {
                let m = self.batch.get(i);
                if let Some(key) = m.key_within_topic()
                    && (held.contains(&key) || !confirmations.keys.admit(key, self.publish, i))
                {
                    held.insert(key);
                    behind.push(i);
                    continue;
                }
                match self.hand_over(m).await {
                    Ok(()) => sent += 1,
                    // Of another topic, most often: the rest of the batch is not concerned.
                    Err(Refusal::Destination(e)) => {
                        confirmations.topic_failed(m.topic(), self.publish);
                        confirmations.keys.answered(self.publish + i, false);
                        self.out.destination(i, e);
                    }
                    Err(refusal) => {
                        match refusal {
                            Refusal::Message(e) => self.out.reject(i, e),
                            Refusal::Unknown(e) | Refusal::Destination(e) => self.out.unknown(i, e),
                        }
                        // Neither what comes behind it, nor any later batch, may pass it.
                        confirmations.die();
                        return sent;
                    }
                }
            }
            before.difference(&held).for_each(|key| confirmations.keys.caught_up(*key, self.publish));
            turn.give_back();
            if behind.is_empty() {
                return sent;
            }
            tokio::select! {
                () = answered => {}
                () = confirmations.died() => return sent,
            }
            left = behind;
        }
    }

    /// Waits where the client's queue is full.
    async fn hand_over(&self, m: MessageRef<'_>) -> Result<(), Refusal> {
        // Another writer's headers may be no object.
        let refused = |e: InvalidMessage| Refusal::Message(e.into());
        let (index, form) = (m.index(), Form::of(m, self.format).map_err(refused)?);
        loop {
            // While the queue was full, too.
            if self.client.confirmations.has_failed(m.topic()) {
                return Err(Refusal::Destination("the topic failed a moment ago".into()));
            }
            let record = form.record(self.publish + index).map_err(refused)?;
            let error = match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                    tokio::time::sleep(FULL).await;
                    continue;
                }
                Err(e) => e,
            };
            return Err(match Fault::of(&error) {
                Fault::Message => Refusal::Message(error.into()),
                Fault::Destination => Refusal::Destination(error.into()),
                Fault::Unknown => Refusal::Unknown(self.client.confirmations.why_not(&error).into()),
            });
        }
    }
}
