use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::BasicPublishOptions;
use outbox_core::{Batch, Outcomes};
use tokio::time::{Instant, timeout_at};

use crate::client::{BLOCKED, Client, Link};
use crate::confirm::{Confirms, SLOW};
use crate::error::Fault;
use crate::wire::{Wired, wired};

/// How many messages are handed to the client before it is waited for: it is quickest with many, and holds their
/// payloads.
const CHUNK: usize = 128;
const MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };

/// Hands a batch to the broker, by as many channels as that takes.
pub(crate) struct Handover<'a> {
    pub(crate) client: &'a Client,
    pub(crate) batch: &'a Batch,
    pub(crate) out: &'a Outcomes,
    pub(crate) deadline: Instant,
}

/// By what connection messages go.
enum Way {
    /// The one of all publishes.
    Shared,
    /// One of its own, on which nobody else's message can be at fault; none yet, or this.
    Own(Option<Arc<Link>>),
}

impl Way {
    fn is_shared(&self) -> bool {
        matches!(self, Self::Shared)
    }
}

/// How far one channel came.
enum Round {
    /// All is said.
    Done,
    /// The channel ended, and perhaps the connection: these messages are stored or not.
    Failed { left: Vec<usize>, fault: Fault, why: String },
    /// Nothing more is to be had now, for this reason; all is said.
    Over(String),
}

impl Handover<'_> {
    pub(crate) async fn run(&self) {
        let mut left: Vec<usize> = (0..self.batch.len()).collect();
        let (mut way, mut lost) = (Way::Shared, 0);
        // Once more by a new connection where one is lost: most often it was lost long before.
        while lost < 2 {
            let link = match self.link(&mut way).await {
                Ok(link) => link,
                Err(why) => return self.unknown(&left, &why),
            };
            let alone = left.len() == 1;
            let round = self.round(&link, left).await;
            let refused = matches!(round, Round::Failed { fault: Fault::Destination, .. });
            let renewed = refused && way.is_shared() && self.client.renew(&link).await;
            match round {
                Round::Done | Round::Over(_) => return,
                Round::Failed { left: rest, fault: Fault::Unknown, why } => {
                    if link.is_alive() {
                        return self.unknown(&rest, &why);
                    }
                    tracing::debug!(%why, "a connection to RabbitMQ was lost");
                    left = rest;
                    lost += 1;
                }
                Round::Failed { left: rest, fault: Fault::Connection, why } if way.is_shared() => {
                    tracing::warn!(%why, "RabbitMQ ended a connection for a message of some publish");
                    (left, way) = (rest, Way::Own(None));
                }
                Round::Failed { left: rest, why, .. } if renewed => {
                    tracing::info!(%why, "RabbitMQ refused a message: a connection with a new password is tried");
                    left = rest;
                }
                Round::Failed { left, fault, why } if alone || fault == Fault::Exchange => {
                    return left.into_iter().for_each(|i| self.fail(i, fault, &why));
                }
                Round::Failed { left, .. } => return self.one_by_one(left, way).await,
            }
        }
        self.unknown(&left, "the connection to RabbitMQ was lost");
    }

    /// A channel dies of one message, and with it everything that is under way, without a word on which message it was.
    async fn one_by_one(&self, left: Vec<usize>, mut way: Way) {
        let mut refused: Option<(String, String)> = None;
        let mut n = 0;
        while let Some(i) = left.get(n) {
            if let Some((_, why)) = refused.as_ref().filter(|(topic, _)| topic == self.batch.get(*i).topic()) {
                self.fail(*i, Fault::Destination, why);
                n += 1;
                continue;
            }
            let round = match self.link(&mut way).await {
                Ok(link) => self.round(&link, vec![*i]).await,
                Err(why) => return self.unknown(&left[n..], &why),
            };
            match round {
                Round::Done => {}
                Round::Over(why) => return self.unknown(&left[n..], &why),
                Round::Failed { fault: Fault::Exchange, why, .. } => {
                    return left[n..].iter().for_each(|i| self.fail(*i, Fault::Exchange, &why));
                }
                Round::Failed { fault: Fault::Unknown, why, .. } => return self.unknown(&left[n..], &why),
                Round::Failed { fault: Fault::Connection, .. } if way.is_shared() => {
                    way = Way::Own(None);
                    continue;
                }
                Round::Failed { fault, why, .. } => {
                    self.fail(*i, fault, &why);
                    if fault == Fault::Destination {
                        refused = Some((self.batch.get(*i).topic().to_owned(), why));
                    }
                }
            }
            n += 1;
        }
    }

    /// These messages by one channel.
    async fn round(&self, link: &Arc<Link>, left: Vec<usize>) -> Round {
        let opened = self.deadline.min(Instant::now() + self.client.settings().connect);
        let mut leased = match timeout_at(opened, link.lease()).await {
            Ok(Ok(leased)) => leased,
            Ok(Err(e)) => {
                // Nothing was sent that could be at fault.
                let fault = Some(Fault::of(&e)).filter(|fault| *fault != Fault::Connection).unwrap_or(Fault::Unknown);
                return Round::Failed { left, fault, why: e.to_string() };
            }
            Err(_) => {
                // It is gone, as far as this connection goes.
                link.shut();
                return self.over(&left, "the broker opened no channel in time".into());
            }
        };
        let mut confirms: Confirms = Confirms::default();
        let mut messages = left.iter().filter_map(|i| self.wired(*i, link.frame_max()));
        let exchange = &self.client.settings().exchange;
        let answered = async {
            let mut said = Instant::now();
            loop {
                let chunk: Vec<(usize, Wired)> = messages.by_ref().take(CHUNK).collect();
                if chunk.is_empty() {
                    break;
                }
                leased.sending = true;
                let handed = join_all(chunk.iter().map(|(_, wired)| {
                    let (key, properties) = (wired.routing_key.clone(), wired.properties.clone());
                    leased.channel.basic_publish(exchange.clone(), key, MANDATORY, &wired.encoded.payload, properties)
                }));
                let handed = handed.await;
                leased.sending = false;
                for ((i, wired), handed) in chunk.into_iter().zip(handed) {
                    confirms.push(i, wired, handed);
                }
                if confirms.error().is_some() {
                    break;
                }
                // Where it is slow, the next chunk may not be taken before the deadline.
                if said.elapsed() >= SLOW {
                    drop(confirms.say(self.out));
                    said = Instant::now();
                }
            }
            confirms.wait(self.out).await;
        };
        let ended = tokio::select! {
            biased;
            answered = timeout_at(self.deadline, answered) => answered,
            () = link.blocked() => {
                // Nothing more is said to be delivered either: where the others of a batch fail beside a delivered one,
                // the relay takes it for their own fault.
                return self.over(&left, BLOCKED.into());
            }
        };
        if ended.is_err() {
            // The next publish opens a channel, and so learns whether there is anyone.
            link.forget_idle();
            if leased.sending {
                // The confirms of this chunk, which may have taken returns of others.
                confirms.dropped();
            }
            confirms.say(self.out);
            return self.over(&left, format!("the broker did not confirm it within {:?}", self.within()));
        }
        if confirms.is_complete() {
            leased.give_back();
            confirms.say(self.out);
            return Round::Done;
        }
        let error = confirms.error().map(|e| (Fault::of(e), e.to_string()));
        let (fault, why) = error.unwrap_or((Fault::Unknown, "the channel is not in confirm mode".into()));
        drop(leased);
        let mut unknown = confirms.say(self.out);
        // What was not handed over any more.
        unknown.extend(messages.map(|(i, _)| i));
        Round::Failed { left: unknown, fault, why }
    }

    /// The message in the form of the broker, or it is rejected.
    fn wired(&self, i: usize, frame_max: usize) -> Option<(usize, Wired)> {
        match wired(&self.batch.get(i), &self.client.settings().format, frame_max) {
            Ok(wired) => Some((i, wired)),
            Err(e) => {
                self.out.reject(i, e);
                None
            }
        }
    }

    async fn link(&self, way: &mut Way) -> Result<Arc<Link>, String> {
        let late = || format!("there was no connection to RabbitMQ within {:?}", self.within());
        match way {
            Way::Shared => timeout_at(self.deadline, self.client.link()).await.unwrap_or_else(|_| Err(late())),
            Way::Own(Some(link)) if link.is_alive() => Ok(link.clone()),
            Way::Own(own) => {
                let link = timeout_at(self.deadline, self.client.own_link()).await.unwrap_or_else(|_| Err(late()))?;
                Ok(own.insert(link).clone())
            }
        }
    }

    fn within(&self) -> Duration {
        self.client.settings().deadline
    }

    fn fail(&self, i: usize, fault: Fault, why: &str) {
        match fault {
            Fault::Message | Fault::Connection => self.out.reject(i, why),
            Fault::Destination | Fault::Exchange => self.out.destination(i, why),
            Fault::Unknown => self.out.unknown(i, why),
        }
    }

    fn over(&self, left: &[usize], why: String) -> Round {
        self.unknown(left, &why);
        Round::Over(why)
    }

    /// Of those that nothing was said of.
    fn unknown(&self, left: &[usize], why: &str) {
        left.iter().for_each(|i| self.out.unknown(*i, why));
    }
}
