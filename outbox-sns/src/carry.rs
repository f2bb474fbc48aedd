//! One request, until of each of its messages is known what became of it.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::operation::publish_batch::PublishBatchOutput;
use outbox_core::{Batch, BoxError, Outcomes};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::{self, Fault};
use crate::requests::Request;
use crate::topics::Destination;
use crate::wire::{Encoded, Wire};

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Where a publish stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carrier<'a> {
    pub(crate) client: &'a Client,
    pub(crate) wire: &'a Wire,
    pub(crate) batch: &'a Batch,
    pub(crate) out: &'a Outcomes,
    pub(crate) give_up: Instant,
}

/// What one attempt left over: to be tried again, and why.
#[derive(Debug)]
struct Again {
    indices: Vec<usize>,
    why: String,
    /// After a moment's wait.
    soon: bool,
}

/// What SNS made of one attempt.
enum Answer {
    Left(Again),
    /// The whole request was refused for a message in it.
    Refused(String),
}

impl Carrier<'_> {
    /// Tries again what is not known, until it is or the time is up. A request that is refused for one of its messages is
    /// sent again singly.
    pub(crate) async fn carry(self, request: Request) {
        let to = &request.to;
        let mut groups = vec![indices(&request.entries)];
        let (mut encoded, mut tries) = (Some(request.entries), 0);
        while let Some(group) = groups.pop() {
            let entries = match encoded.take() {
                Some(entries) => entries,
                None => self.encode(&group, to),
            };
            match self.attempt(to, entries).await {
                Answer::Refused(why) if group.len() == 1 => self.out.reject(group[0], why),
                Answer::Refused(_) => groups.extend(group.into_iter().rev().map(|i| vec![i])),
                Answer::Left(again) if again.indices.is_empty() => {}
                Answer::Left(again) => {
                    let wait = self.wait(tries, again.indices[0]);
                    tries += 1;
                    if !again.soon || Instant::now() + wait >= self.give_up {
                        let left = again.indices.iter().chain(groups.iter().flatten());
                        return left.for_each(|i| self.out.unknown(*i, again.why.as_str()));
                    }
                    tracing::debug!(messages = again.indices.len(), why = again.why, "tried again");
                    groups.push(again.indices);
                    sleep(wait).await;
                }
            }
        }
    }

    /// What was sent before can be encoded again.
    fn encode(&self, group: &[usize], to: &Destination) -> Vec<Encoded> {
        let encode =
            |i: &usize| self.wire.encode(&self.batch.get(*i), to.fifo).map_err(|e| self.out.reject(*i, e)).ok();
        group.iter().filter_map(encode).collect()
    }

    async fn attempt(&self, to: &Destination, entries: Vec<Encoded>) -> Answer {
        let sent = indices(&entries);
        let again = |why: String, soon| Answer::Left(Again { indices: sent.clone(), why, soon });
        let entries: Result<Vec<_>, BoxError> = entries.into_iter().map(Encoded::entry).collect();
        let entries = match entries {
            Ok(entries) => entries,
            // The client wants a part that is always given.
            Err(e) => return again(e.to_string(), false),
        };
        let request = self.client.publish_batch().topic_arn(&*to.arn).set_publish_batch_request_entries(Some(entries));
        let Ok(answer) = timeout_at(self.give_up, request.send()).await else {
            return again("SNS did not answer in time".into(), false);
        };
        let error = match answer {
            Ok(answer) => return Answer::Left(self.said(&sent, &answer)),
            Err(error) => error,
        };
        let why = error::text(&error);
        match Fault::of(&error) {
            Fault::Passing => again(why, true),
            Fault::Unknown => again(why, false),
            Fault::Message => Answer::Refused(why),
            Fault::Destination => {
                sent.iter().for_each(|i| self.out.destination(*i, format!("{}: {why}", to.arn)));
                Answer::Left(Again { indices: Vec::new(), why, soon: true })
            }
        }
    }

    /// By the id of each entry: SNS promises no order, nor that each is there.
    fn said(&self, sent: &[usize], answer: &PublishBatchOutput) -> Again {
        let mut left: HashSet<usize> = sent.iter().copied().collect();
        let mut again = Again { indices: Vec::new(), why: String::new(), soon: true };
        for failed in answer.failed() {
            let Some(i) = failed.id().parse().ok().filter(|i| left.remove(i)) else { continue };
            let text = failed.message().unwrap_or_default();
            let why = format!("SNS says {}: {text}", failed.code());
            match Fault::of_entry(failed.code(), text, failed.sender_fault()) {
                Fault::Message => self.out.reject(i, why),
                Fault::Destination => self.out.destination(i, why),
                Fault::Passing | Fault::Unknown => {
                    again.indices.push(i);
                    again.why = why;
                }
            }
        }
        for stored in answer.successful() {
            if let Some(i) = stored.id().and_then(|id| id.parse().ok()).filter(|i| left.remove(i)) {
                self.out.delivered(i);
            }
        }
        if !left.is_empty() {
            again.why = "SNS did not say what became of it".into();
            again.indices.extend(left);
        }
        again.indices.sort_unstable();
        again
    }

    /// Twice as long each time; of requests that failed together each another time.
    fn wait(&self, tries: u32, index: usize) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << tries.min(10)).min(LONGEST_WAIT);
        let id = self.batch.get(index).id().as_uuid().as_u128();
        // The last bits of an id are random.
        wait.mul_f64(0.5 + f64::from(u8::try_from(id & 0xff).unwrap_or(0)) / 512.0)
    }
}

fn indices(entries: &[Encoded]) -> Vec<usize> {
    entries.iter().map(|e| e.index).collect()
}
