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
    /// The stream's own acknowledgement; of a duplicate too.
    Stored,
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
    error: Option<ApiError>,
}

impl Answer {
    pub(crate) fn read(message: &Message) -> Self {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Self::NobodyListens;
        }
        match serde_json::from_slice::<Acknowledgement>(&message.payload) {
            Ok(Acknowledgement { error: Some(error), .. }) => Self::Refused(error),
            Ok(Acknowledgement { seq: 1.., .. }) => Self::Stored,
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
    runs: Mutex<HashMap<usize, Vec<usize>>>,
    has_runs: AtomicBool,
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
    pub(crate) fn sending_run(&self, run: &[usize]) {
        if let Some((last, _)) = run.split_last() {
            self.has_runs.store(true, Ordering::Release);
            self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(*last, run.to_vec());
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
            let waited = run.iter().filter(|i| self.waits(**i));
            match answer {
                Answer::Stored => waited.for_each(|i| self.out.delivered(*i)),
                Answer::NobodyListens => self.trouble().absent.extend(waited),
                // Which one of them is at fault shows when they are sent one by one.
                Answer::Refused(_) | Answer::Foreign => self.trouble().singly.extend(waited),
            }
            return run.into_iter().filter(|i| self.settle(*i)).count();
        }
        if !self.waits(index) {
            return 0;
        }
        match answer {
            Answer::Stored => self.out.delivered(index),
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
