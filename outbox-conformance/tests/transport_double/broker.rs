//! A broker in memory whose connections fail on demand.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outbox_conformance::transport::{Faults, Stored};
use tokio::sync::watch;
use tokio::task::yield_now;

/// The largest payload that it takes, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 12_000;
/// The payload that it refuses.
pub(crate) const POISON: &str = "poison";
/// The topic that it does not have.
pub(crate) const NOWHERE: &str = "nowhere";

const PARTITIONS: usize = 4;

/// All clones are one broker.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    log: Arc<Mutex<Log>>,
    way: Arc<watch::Sender<Way>>,
}

#[derive(Debug, Default)]
struct Log {
    partitions: [Vec<Stored>; PARTITIONS],
    /// In the broker's memory, not yet in a partition.
    received: Vec<(usize, Stored)>,
    ids: HashSet<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Way {
    cuts: u64,
    heals: u64,
    refused: bool,
    silent: bool,
}

/// What a request carries beside the message.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) message: Stored,
    pub(crate) partition: usize,
    /// What the broker drops duplicates by.
    pub(crate) dedup: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection can be made.
    Away,
    /// The connection was cut: stored or not.
    Lost,
    /// The message can never be stored.
    Refused,
    /// There is no such topic.
    Nowhere,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the broker's answer: {self:?}")
    }
}

impl std::error::Error for Failure {}

#[derive(Debug, Clone)]
pub(crate) struct Connection {
    broker: Broker,
    cuts: u64,
}

impl Broker {
    pub(crate) fn new() -> Self {
        Self { log: Arc::default(), way: Arc::new(watch::Sender::new(Way::default())) }
    }

    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let way = *self.way.borrow();
        if way.refused { Err(Failure::Away) } else { Ok(Connection { broker: self.clone(), cuts: way.cuts }) }
    }

    /// What is stored. What was only received is stored by the next look.
    pub(crate) fn read(&self) -> Vec<Stored> {
        let mut log = self.log();
        let stored = log.partitions.concat();
        log.store_received();
        stored
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn store_received(&mut self) {
        for (partition, message) in std::mem::take(&mut self.received) {
            self.partitions[partition].push(message);
        }
    }
}

impl Connection {
    pub(crate) fn is_open(&self) -> bool {
        let way = self.broker.way.borrow();
        way.cuts == self.cuts && !way.refused
    }

    /// Ends when the broker has it in its memory and said so.
    pub(crate) async fn receive(&self, frame: &Frame) -> Result<(), Failure> {
        yield_now().await;
        if !self.is_open() {
            return Err(Failure::Lost);
        }
        let message = &frame.message;
        let answer = if message.topic == NOWHERE {
            Err(Failure::Nowhere)
        } else if message.payload == POISON.as_bytes() || message.payload.len() > MAX_PAYLOAD {
            // The quickest of its answers.
            return if self.broker.way.borrow().silent { self.reply().await } else { Err(Failure::Refused) };
        } else {
            let mut log = self.broker.log();
            if frame.dedup.as_ref().is_none_or(|id| log.ids.insert(id.clone())) {
                log.received.push((frame.partition % PARTITIONS, message.clone()));
            }
            Ok(())
        };
        self.reply().await?;
        answer
    }

    /// Ends when the broker has stored it and said so.
    pub(crate) async fn send(&self, frame: &Frame) -> Result<(), Failure> {
        let received = self.receive(frame).await;
        self.broker.log().store_received();
        received
    }

    /// The way back. Where replies are lost nothing comes until the connection ends.
    async fn reply(&self) -> Result<(), Failure> {
        yield_now().await;
        let (now, mut way) = (*self.broker.way.borrow(), self.broker.way.subscribe());
        if now.silent {
            drop(way.wait_for(|w| w.heals != now.heals || w.cuts != self.cuts).await);
            return Err(Failure::Lost);
        }
        if self.is_open() { Ok(()) } else { Err(Failure::Lost) }
    }
}

impl Faults for Broker {
    fn cut(&self) {
        self.way.send_modify(|w| w.cuts += 1);
    }

    fn drop_replies(&self) {
        self.way.send_modify(|w| w.silent = true);
    }

    fn refuse(&self) {
        self.way.send_modify(|w| (w.refused, w.cuts) = (true, w.cuts + 1));
    }

    fn heal(&self) {
        self.way.send_modify(|w| {
            w.cuts += u64::from(w.silent);
            (w.refused, w.silent, w.heals) = (false, false, w.heals + 1);
        });
    }
}
