use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::jetstream::Error as ApiError;
use async_nats::{Message, StatusCode};
use outbox_core::Outcomes;
use serde::Deserialize;
use tokio::sync::Notify;

use crate::error::Fault;

/// What a message was answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The stream's own acknowledgement; of a duplicate too. Where messages were stored at once: the batch, and how
    /// many of it.
    Stored(Option<(String, u64)>),
    Refused(ApiError),
    /// Nobody listens on the subject at this moment.
    NobodyListens,
    /// Of something else than a stream.
    Foreign,
}

#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(default)]
    seq: u64,
    batch: Option<String>,
    #[serde(default)]
    count: u64,
    error: Option<ApiError>,
}

impl Answer {
    pub(crate) fn read(message: &Message) -> Self {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Self::NobodyListens;
        }
        match serde_json::from_slice::<Acknowledgement>(&message.payload) {
            Ok(Acknowledgement { error: Some(error), .. }) => Self::Refused(error),
            Ok(Acknowledgement { seq: 1.., batch, count, .. }) => Self::Stored(batch.map(|batch| (batch, count))),
            _ => Self::Foreign,
        }
    }
}

/// A publish whose messages are with the client.
#[derive(Debug)]
pub(crate) struct Waiting {
    out: Outcomes,
    /// By index: sent, and not answered yet.
    sent: Box<[AtomicBool]>,
    left: AtomicUsize,
    news: Notify,
    trouble: Mutex<Trouble>,
    /// Messages that are stored at once with the one of this index, which is the one that is answered.
    runs: Mutex<HashMap<usize, Run>>,
    has_runs: AtomicBool,
}

#[derive(Debug)]
struct Run {
    batch: String,
    messages: Vec<usize>,
}

impl Run {
    /// Whether this acknowledges all of it. A stream that stores no batches passes over their headers, and acknowledges
    /// the last message alone: of the others nothing is known then.
    fn is_acknowledged(&self, stored: Option<&(String, u64)>) -> bool {
        stored.is_some_and(|(batch, count)| *batch == self.batch && *count == self.messages.len() as u64)
    }
}

/// What the publish itself has to look at.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Nobody listened on their subjects.
    pub(crate) absent: Vec<usize>,
    /// Subjects that we may not publish to.
    pub(crate) denied: Vec<String>,
    /// Messages that were not stored at once with others, and can be one by one.
    pub(crate) singly: Vec<usize>,
}

impl Waiting {
    pub(crate) fn new(out: &Outcomes) -> Self {
        Self {
            out: out.clone(),
            sent: (0..out.len()).map(|_| AtomicBool::new(false)).collect(),
            left: AtomicUsize::new(0),
            news: Notify::new(),
            trouble: Mutex::default(),
            runs: Mutex::default(),
            has_runs: AtomicBool::new(false),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }

    /// The message is about to be sent.
    pub(crate) fn sending(&self, index: usize) {
        self.sent[index].store(true, Ordering::Release);
        self.left.fetch_add(1, Ordering::AcqRel);
    }

    /// The messages are about to be sent, to be stored at once; the last one is answered.
    pub(crate) fn sending_run(&self, run: &[usize], batch: &str) {
        if let Some((last, _)) = run.split_last() {
            let sent = Run { batch: batch.to_owned(), messages: run.to_vec() };
            self.has_runs.store(true, Ordering::Release);
            self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(*last, sent);
        }
        run.iter().for_each(|index| self.sending(*index));
    }

    /// The messages cannot be stored at once.
    pub(crate) fn singly(&self, run: &[usize]) {
        self.trouble().singly.extend_from_slice(run);
    }

    /// The message needs no answer any more. Whether it waited for one.
    pub(crate) fn settle(&self, index: usize) -> bool {
        let first = self.sent.get(index).is_some_and(|sent| sent.swap(false, Ordering::AcqRel));
        if first && self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.news.notify_one();
        }
        first
    }

    /// What a message was answered with. Gives how many need no answer any more.
    pub(crate) fn answer(&self, index: usize, answer: Answer) -> usize {
        if self.has_runs.load(Ordering::Acquire)
            && let Some(run) = self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&index)
        {
            let waited = run.messages.iter().filter(|i| self.waits(**i));
            match answer {
                Answer::Stored(stored) if run.is_acknowledged(stored.as_ref()) => {
                    waited.for_each(|i| self.out.delivered(*i));
                }
                Answer::NobodyListens => self.trouble().absent.extend(waited),
                // Which one of them is at fault shows when they are sent one by one.
                Answer::Stored(_) | Answer::Refused(_) | Answer::Foreign => self.trouble().singly.extend(waited),
            }
            return run.messages.into_iter().filter(|i| self.settle(*i)).count();
        }
        if !self.waits(index) {
            return 0;
        }
        match answer {
            Answer::Stored(_) => self.out.delivered(index),
            Answer::NobodyListens => self.trouble().absent.push(index),
            Answer::Foreign => self.out.unknown(index, "something else than a stream answers on this subject"),
            Answer::Refused(error) => match Fault::of(&error) {
                Fault::Message => self.out.reject(index, error),
                Fault::Destination => self.out.destination(index, error),
                Fault::Unknown => self.out.unknown(index, error),
            },
        }
        usize::from(self.settle(index))
    }

    fn waits(&self, index: usize) -> bool {
        self.sent.get(index).is_some_and(|sent| sent.load(Ordering::Acquire))
    }

    /// We may not publish to this subject.
    pub(crate) fn denied(&self, subject: &str) {
        self.trouble().denied.push(subject.to_owned());
        self.news.notify_one();
    }

    /// How many were sent and not answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.left.load(Ordering::Acquire)
    }

    /// The ones that were sent and not answered.
    pub(crate) fn silent(&self) -> Vec<usize> {
        (0..self.len()).filter(|i| self.sent[*i].load(Ordering::Acquire)).collect()
    }

    /// Completes when there may be trouble, or nothing is left to be answered.
    pub(crate) async fn news(&self) {
        // One waiter: a notification that came before it is kept.
        self.news.notified().await;
    }

    pub(crate) fn is_untroubled(&self) -> bool {
        let trouble = self.trouble();
        trouble.absent.is_empty() && trouble.denied.is_empty() && trouble.singly.is_empty()
    }

    pub(crate) fn take_trouble(&self) -> Trouble {
        std::mem::take(&mut *self.trouble())
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use outbox_core::transport::Outcome;

    use super::*;

    fn answer(text: &'static str) -> Answer {
        let (subject, payload) = ("_INBOX.1".into(), text.into());
        let length = text.len();
        Answer::read(&Message { subject, payload, reply: None, headers: None, status: None, description: None, length })
    }

    /// What becomes of a run of three, called `b-2`, that was answered with this.
    fn run(text: &'static str) -> (Vec<Outcome>, Vec<usize>) {
        let out = Outcomes::new(3);
        let waiting = Waiting::new(&out);
        waiting.sending_run(&[0, 1, 2], "b-2");
        assert_eq!(waiting.answer(2, answer(text)), 3, "nothing waits any more");
        ((0..3).map(|i| out.get(i)).collect(), waiting.take_trouble().singly)
    }

    #[test]
    fn a_run_is_stored_when_all_of_it_is_acknowledged() {
        let (said, singly) = run(r#"{"stream":"S","seq":7,"batch":"b-2","count":3}"#);
        assert_eq!((said, singly), (vec![Outcome::Delivered; 3], vec![]));
        for other in [
            r#"{"stream":"S","seq":7}"#,
            r#"{"stream":"S","seq":7,"batch":"b-2","count":2}"#,
            r#"{"stream":"S","seq":7,"batch":"b-9","count":3}"#,
            r#"{"seq":0,"batch":"b-2","count":3}"#,
            "stored!",
        ] {
            assert_eq!(run(other), (vec![Outcome::Unknown(None); 3], vec![0, 1, 2]), "{other}");
        }
    }

    #[test]
    fn a_single_message_needs_no_batch() {
        let out = Outcomes::new(1);
        let waiting = Waiting::new(&out);
        waiting.sending(0);
        assert_eq!(waiting.answer(0, answer(r#"{"stream":"S","seq":7,"duplicate":true}"#)), 1);
        assert_eq!(out.get(0), Outcome::Delivered);
    }
}
