//! Many messages of a key at once.
//!
//! # Why no gap arises
//! - Publishes go one after the other, in the order of their first polls.
//! - A run is stored as a whole or not at all, in its order. The next run to its stream is sent when the one before was
//!   acknowledged. Where a stream stores no runs, the next message of a key is sent when the one before was.
//! - What is not known ends the client, and no new one is made before every publish of the old one has ended: what they
//!   hold is sent again in order. What the old client had sent may still be stored, as a whole: behind a copy that was
//!   sent again it is refused as a duplicate, within the stream's window; after that it is a duplicate.
//! - A run that was refused is sent message by message. So is one of which anything was stored before (error 10201).
//! - A key of which a message was not stored is held until every publish has ended that was under way by then, and those
//!   that were under way when one of them was not sent for that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_nats::HeaderValue;
use futures_util::future::join_all;
use outbox_core::transport::Outcome;

use crate::publish::{Died, Publish};
use crate::wire::Outgoing;

/// A server stores so many messages at once at most.
const RUN: usize = 1_000;
/// So many bytes of payload are sent as one run at most: the server keeps them until the last message comes.
const RUN_BYTES: usize = 4 << 20;
/// The headers of a batch take up to so many bytes in each message.
const RUN_HEADERS: usize = 128;

/// What is sent and answered before anything else is.
#[derive(Debug, Default)]
struct Step {
    runs: Vec<Vec<usize>>,
    singles: Vec<usize>,
}

impl Publish<'_> {
    pub(crate) async fn gapless(&self) {
        let streams = self.streams().await;
        let mut left: Vec<usize> = (0..self.batch.len()).collect();
        let mut singly = HashSet::new();
        while !left.is_empty() {
            if self.confirmations.holds() {
                left.retain(|index| !self.is_held(*index));
            }
            let step = self.step(&left, &singly, &streams);
            if self.send_step(&step).await.is_err() {
                return;
            }
            singly.extend(self.answered().await);
            if self.confirmations.dead().is_some() {
                return;
            }
            let mut done = HashSet::new();
            for index in step.runs.iter().flatten().chain(&step.singles) {
                match self.out.get(*index) {
                    Outcome::Delivered | Outcome::Rejected(_) => _ = done.insert(*index),
                    // Its run was refused, and it is sent alone next.
                    _ if singly.contains(index) && !step.singles.contains(index) => {}
                    said => {
                        if let Some(key) = self.batch.get(*index).key_within_topic() {
                            self.confirmations.hold(key, self.publish, said);
                        }
                        _ = done.insert(*index);
                    }
                }
            }
            left.retain(|index| !done.contains(index));
        }
    }

    /// The streams that store runs, by topic. Where nothing can be asked, none.
    async fn streams(&self) -> HashMap<&str, Option<Arc<str>>> {
        let topics: HashSet<&str> = (0..self.batch.len()).map(|index| self.batch.get(index).topic()).collect();
        let ask = topics.into_iter().map(async |topic| {
            let (subject, mute) = (self.settings.wire.subject(topic), self.confirmations.is_mute());
            (topic, self.connected.atomic_stream(&self.settings.api, &subject, mute).await)
        });
        join_all(ask).await.into_iter().collect()
    }

    /// A run to each stream that stores runs; elsewhere the first message of each key.
    fn step(&self, left: &[usize], singly: &HashSet<usize>, streams: &HashMap<&str, Option<Arc<str>>>) -> Step {
        let mut step = Step::default();
        let mut runs: HashMap<&str, (Vec<usize>, usize, bool)> = HashMap::new();
        let mut keys = HashSet::new();
        for index in left {
            let m = self.batch.get(*index);
            let stream = streams.get(m.topic()).and_then(Option::as_deref).filter(|_| !singly.contains(index));
            // A run and single messages to one stream never go together.
            match stream {
                Some(stream) => {
                    let (run, bytes, full) = runs.entry(stream).or_default();
                    *full |= run.len() == RUN || (*bytes > 0 && *bytes + m.payload().len() > RUN_BYTES);
                    if !*full {
                        *bytes += m.payload().len();
                        run.push(*index);
                    }
                }
                None => {
                    if m.key().is_none_or(|key| keys.insert((m.topic(), key))) {
                        step.singles.push(*index);
                    }
                }
            }
        }
        // What is sent singly goes first: it was in front, and its stream's runs wait for it.
        let waits = |stream: &str| {
            step.singles.iter().any(|i| {
                let topic = self.batch.get(*i).topic();
                streams.get(topic).and_then(Option::as_deref) == Some(stream)
            })
        };
        step.runs = runs.into_iter().filter(|(stream, _)| !waits(stream)).map(|(_, (run, ..))| run).collect();
        step
    }

    async fn send_step(&self, step: &Step) -> Result<(), Died> {
        for run in &step.runs {
            self.send_run(run).await?;
        }
        for index in &step.singles {
            match self.outgoing(*index) {
                Ok(outgoing) => self.send(*index, outgoing).await?,
                Err(e) => self.out.reject(*index, e),
            }
        }
        Ok(())
    }

    async fn send_run(&self, run: &[usize]) -> Result<(), Died> {
        let mut outgoing = Vec::with_capacity(run.len());
        let mut indices = Vec::with_capacity(run.len());
        let (most, mut largest) = (self.connected.nats.max_payload(), 0);
        for index in run {
            match self.outgoing(*index) {
                // The client would refuse it in the middle of the run.
                Ok(message) if size(&message) > most => self.out.reject(*index, too_large(size(&message), most)),
                Ok(message) => {
                    largest = largest.max(size(&message));
                    outgoing.push(message);
                    indices.push(*index);
                }
                Err(e) => self.out.reject(*index, e),
            }
        }
        if largest + RUN_HEADERS > most {
            self.waiting.singly(&indices);
            return Ok(());
        }
        let (Some(last), true) = (indices.last(), indices.len() > 1) else {
            for (index, message) in indices.into_iter().zip(outgoing) {
                self.send(index, message).await?;
            }
            return Ok(());
        };
        let reply = self.reply(*last);
        let id = reply.rsplit_once('.').map_or(&*reply, |(inbox, _)| inbox);
        let id = format!("{}-{}", id.rsplit_once('.').map_or(id, |(_, token)| token), self.publish + last);
        self.room(indices.len()).await?;
        self.waiting.sending_run(&indices, &id);
        let count = outgoing.len();
        for (n, Outgoing { subject, mut headers, payload }) in (1..).zip(outgoing) {
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", n.to_string());
            let nats = &self.connected.nats;
            let sent = if n == count {
                headers.insert("Nats-Batch-Commit", "1");
                self.taken(nats.publish_with_reply_and_headers(subject, reply.clone(), headers, payload)).await?
            } else {
                self.taken(nats.publish_with_headers(subject, headers, payload)).await?
            };
            sent.map_err(|e| self.died(&e))?;
        }
        Ok(())
    }

    /// Whether nothing may be sent of the key of this message. It is said why.
    fn is_held(&self, index: usize) -> bool {
        let key = self.batch.get(index).key_within_topic();
        match key.and_then(|key| self.confirmations.held(key, self.publish)) {
            None => return false,
            Some(Outcome::Destination(why)) => self.out.destination(index, why),
            Some(Outcome::Unknown(Some(why))) => self.out.unknown(index, why),
            Some(_) => {}
        }
        true
    }
}

/// What counts against the server's `max_payload`, in bytes.
fn size(message: &Outgoing) -> usize {
    let line = |name: &[u8], value: &HeaderValue| name.len() + value.as_str().len() + ": \r\n".len();
    let lines = message.headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let headers: usize = lines.map(|(name, value)| line(name.as_ref(), value)).sum();
    "NATS/1.0\r\n\r\n".len() + headers + message.payload.len()
}

fn too_large(size: usize, most: usize) -> String {
    format!("with its headers it takes {size} bytes, and the server {most}: raise its max_payload")
}
