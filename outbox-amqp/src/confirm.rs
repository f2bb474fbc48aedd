//! From the broker's confirms to the outcomes of one channel's messages.
//!
//! lapin hands a returned message out with whichever confirm completes next, and may complete them in any order. So
//! which message was returned is known by its id only, and which was not only when every confirm is in.

use std::collections::HashSet;

use lapin::message::BasicReturnMessage;
use lapin::{Confirmation, Error, PublisherConfirm};
use outbox_core::Outcomes;

use crate::error::telling;
use crate::wire::Wired;

/// One message on its way: its place in the batch, what identifies its return, and its confirm.
pub(crate) struct Sent {
    pub(crate) index: usize,
    pub(crate) id: String,
    pub(crate) topic: String,
    confirm: Confirm,
}

enum Confirm {
    Waiting(PublisherConfirm),
    Acked,
    Nacked,
    /// Never sent, or lost with its channel.
    Failed,
}

/// What became of the messages of one channel.
#[derive(Default)]
pub(crate) struct Confirms {
    sent: Vec<Sent>,
    returned: Vec<BasicReturnMessage>,
    error: Option<Error>,
}

impl Confirms {
    /// A message was handed to the channel, or could not be.
    pub(crate) fn push(&mut self, index: usize, wired: Wired, handed: Result<PublisherConfirm, Error>) {
        let confirm = match handed {
            Ok(confirm) => Confirm::Waiting(confirm),
            Err(e) => {
                self.failed(e);
                Confirm::Failed
            }
        };
        self.sent.push(Sent { index, id: wired.id, topic: wired.routing_key.into(), confirm });
    }

    /// Waits for all of them. May be dropped, and called again.
    pub(crate) async fn wait(&mut self) {
        for i in 0..self.sent.len() {
            let Confirm::Waiting(confirm) = &mut self.sent[i].confirm else { continue };
            let confirmed = confirm.await;
            self.confirmed(i, confirmed);
        }
    }

    /// Takes in what is there already.
    pub(crate) fn look(&mut self) {
        use futures_util::FutureExt;
        for i in 0..self.sent.len() {
            let Confirm::Waiting(confirm) = &mut self.sent[i].confirm else { continue };
            if let Some(confirmed) = confirm.now_or_never() {
                self.confirmed(i, confirmed);
            }
        }
    }

    fn confirmed(&mut self, i: usize, confirmed: Result<Confirmation, Error>) {
        let (confirm, returned) = match confirmed {
            Ok(Confirmation::Ack(returned)) => (Confirm::Acked, returned),
            Ok(Confirmation::Nack(returned)) => (Confirm::Nacked, returned),
            // Not a channel in confirm mode: nothing is known.
            Ok(Confirmation::NotRequested) => (Confirm::Failed, None),
            Err(e) => {
                self.failed(e);
                (Confirm::Failed, None)
            }
        };
        self.sent[i].confirm = confirm;
        self.returned.extend(returned);
    }

    fn failed(&mut self, e: Error) {
        self.error = telling(self.error.take(), e);
    }

    /// Why the channel ended, if it did.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Whether the broker has answered on every message, so that nothing is under way.
    pub(crate) fn is_complete(&self) -> bool {
        self.sent.iter().all(|s| matches!(s.confirm, Confirm::Acked | Confirm::Nacked))
    }

    /// Says what is known, and gives what is not: the index of each message that may be stored or not.
    ///
    /// As long as no message was returned, an acknowledgement is one. Otherwise a return that belongs to it may still
    /// wait for another confirm, so that acknowledgements count when all confirms are in.
    pub(crate) fn say(self, out: &Outcomes) -> Vec<usize> {
        let mut returned = HashSet::new();
        let mut strange = false;
        for message in &self.returned {
            match message.delivery.properties.message_id() {
                Some(id) => _ = returned.insert((id.as_str(), message.delivery.routing_key.as_str())),
                None => strange = true,
            }
        }
        let known = |s: &&Sent| returned.contains(&(s.id.as_str(), s.topic.as_str()));
        // Of a return that is none of these messages nobody knows whose it is.
        strange |=
            returned.len() > self.sent.iter().filter(known).map(|s| (&s.id, &s.topic)).collect::<HashSet<_>>().len();
        let trusted = self.returned.is_empty() || (self.is_complete() && !strange);
        let reason = |s: &Sent| {
            let message = self.returned.iter().find(|m| m.delivery.routing_key.as_str() == s.topic);
            message.map_or(String::new(), |m| format!(" ({} {})", m.reply_code, m.reply_text))
        };
        let mut unknown = Vec::new();
        for s in &self.sent {
            match s.confirm {
                Confirm::Acked | Confirm::Nacked if known(&s) => out.destination(
                    s.index,
                    format!("no queue takes the topic {:?}{}: declare it, or bind one", s.topic, reason(s)),
                ),
                Confirm::Acked if trusted => out.delivered(s.index),
                Confirm::Nacked => out.unknown(s.index, "the broker could not store it (basic.nack)"),
                _ => unknown.push(s.index),
            }
        }
        unknown
    }
}
