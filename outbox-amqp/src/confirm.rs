//! From the broker's confirms to the outcomes of one channel's messages.
//!
//! lapin hands a returned message out with whichever confirm completes next, and may complete them in any order. So
//! which message was returned is known by its id only, and which was not only when every confirm is in.

use std::collections::HashMap;

use futures_util::FutureExt;
use lapin::{Confirmation, Error, PublisherConfirm};
use outbox_core::Outcomes;

use crate::error::telling;
use crate::wire::Wired;

/// One message on its way: its place in the batch, the id and topic by which its return is known, and its confirm.
struct Sent<C> {
    index: usize,
    name: (String, String),
    confirm: Confirm<C>,
}

enum Confirm<C> {
    Waiting(C),
    Acked,
    Nacked,
    /// Never sent, or lost with its channel.
    Failed,
}

/// What became of the messages of one channel.
pub(crate) struct Confirms<C = PublisherConfirm> {
    sent: Vec<Sent<C>>,
    /// Id and topic of what came back, and why.
    returned: HashMap<(String, String), String>,
    /// Of confirms that were dropped nobody knows what they brought.
    dropped: bool,
    error: Option<Error>,
}

impl<C> Default for Confirms<C> {
    fn default() -> Self {
        Self { sent: Vec::new(), returned: HashMap::new(), dropped: false, error: None }
    }
}

impl<C: Future<Output = Result<Confirmation, Error>> + Unpin> Confirms<C> {
    /// A message was handed to the channel, or could not be.
    pub(crate) fn push(&mut self, index: usize, wired: Wired, handed: Result<C, Error>) {
        let confirm = match handed {
            Ok(confirm) => Confirm::Waiting(confirm),
            Err(e) => {
                self.failed(e);
                Confirm::Failed
            }
        };
        self.sent.push(Sent { index, name: (wired.id, wired.routing_key.into()), confirm });
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
    ///
    /// Looks twice: a confirm that was not there when it was looked at may have brought the return of a later one that
    /// was. It was there before that one, so it is by the second look.
    pub(crate) fn look(&mut self) {
        for _ in 0..2 {
            for i in 0..self.sent.len() {
                let Confirm::Waiting(confirm) = &mut self.sent[i].confirm else { continue };
                if let Some(confirmed) = confirm.now_or_never() {
                    self.confirmed(i, confirmed);
                }
            }
        }
    }

    /// Confirms of this channel were dropped, and with them perhaps the return of a message that is acknowledged here.
    pub(crate) fn dropped(&mut self) {
        self.dropped = true;
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
        self.returned.extend(returned.map(|message| {
            let id = message.delivery.properties.message_id().as_ref().map(ToString::to_string);
            let why = format!("{} {}", message.reply_code, message.reply_text);
            ((id.unwrap_or_default(), message.delivery.routing_key.into()), why)
        }));
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
        let mut returned = self.returned.clone();
        self.sent.iter().for_each(|s| _ = returned.remove(&s.name));
        // Of a return that is none of these messages nobody knows whose it is.
        let whole = self.returned.is_empty() || (self.is_complete() && returned.is_empty());
        let trusted = whole && !self.dropped;
        let mut unknown = Vec::new();
        for s in &self.sent {
            match (&s.confirm, self.returned.get(&s.name)) {
                (Confirm::Acked | Confirm::Nacked, Some(why)) => {
                    let topic = &s.name.1;
                    out.destination(
                        s.index,
                        format!("no queue takes the topic {topic:?} ({why}): declare or bind one"),
                    );
                }
                (Confirm::Acked, None) if trusted => out.delivered(s.index),
                (Confirm::Nacked, None) => out.unknown(s.index, "the broker could not store it (basic.nack)"),
                _ => unknown.push(s.index),
            }
        }
        unknown
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Pending, pending, poll_fn};
    use std::pin::Pin;
    use std::task::Poll;

    use lapin::message::{BasicReturnMessage, Delivery};
    use outbox_core::transport::Outcome;

    use super::*;

    type Looked = Pin<Box<dyn Future<Output = Result<Confirmation, Error>>>>;

    fn name(n: usize) -> (String, String) {
        (n.to_string(), "orders".into())
    }

    /// What is said of these messages, where these were returned.
    fn said(
        confirms: Vec<Confirm<Pending<Result<Confirmation, Error>>>>,
        returned: &[usize],
    ) -> (Vec<Outcome>, Vec<usize>) {
        let out = Outcomes::new(confirms.len());
        let sent = confirms.into_iter().enumerate().map(|(index, confirm)| Sent { index, name: name(index), confirm });
        let returned = returned.iter().map(|n| (name(*n), "312 NO_ROUTE".into())).collect();
        let unknown = Confirms { sent: sent.collect(), returned, dropped: false, error: None }.say(&out);
        ((0..out.len()).map(|i| out.get(i)).collect(), unknown)
    }

    /// These confirms of messages that were all handed over.
    fn waiting(confirms: Vec<Looked>) -> Confirms<Looked> {
        let sent = confirms.into_iter().enumerate();
        let sent = sent.map(|(index, confirm)| Sent { index, name: name(index), confirm: Confirm::Waiting(confirm) });
        Confirms { sent: sent.collect(), ..Confirms::default() }
    }

    fn returned(n: usize) -> BasicReturnMessage {
        let mut delivery = Delivery::mock(0, "".into(), "orders".into(), false, Vec::new());
        delivery.properties = delivery.properties.with_message_id(n.to_string().into());
        BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() }
    }

    use Confirm::{Acked, Failed, Nacked};

    #[test]
    fn a_return_is_its_own_messages_only() {
        let (said, unknown) = said(vec![Acked, Acked, Acked], &[1]);
        assert!(matches!(&said[1], Outcome::Destination(why) if why.contains("orders") && why.contains("312")));
        assert_eq!((&said[0], &said[2]), (&Outcome::Delivered, &Outcome::Delivered));
        assert_eq!(unknown, Vec::<usize>::new());
    }

    #[test]
    fn an_acknowledgement_counts_at_once_where_nothing_was_returned() {
        let (said, unknown) = said(vec![Acked, Failed, Nacked], &[]);
        assert_eq!((&said[0], unknown), (&Outcome::Delivered, vec![1]));
        assert!(matches!(&said[2], Outcome::Unknown(Some(why)) if why.contains("nack")));
    }

    #[test]
    fn while_confirms_are_missing_a_return_may_still_wait_for_one() {
        let (said, unknown) = said(vec![Acked, Acked, Failed], &[0]);
        assert!(matches!(&said[0], Outcome::Destination(_)));
        assert_eq!((&said[1], unknown), (&Outcome::Unknown(None), vec![1, 2]));
    }

    #[test]
    fn a_return_that_nobody_knows_leaves_every_acknowledgement_in_doubt() {
        let (said, unknown) = said(vec![Acked, Acked], &[7]);
        assert_eq!((said, unknown), (vec![Outcome::Unknown(None); 2], vec![0, 1]));
    }

    #[test]
    fn a_return_is_seen_that_came_while_the_confirms_were_looked_at() {
        let mut brought = None;
        // Not there when it is looked at; then it takes the return of the other one, which is there after it.
        let late = poll_fn(move |_| match brought.replace(()) {
            None => Poll::Pending,
            Some(()) => Poll::Ready(Ok(Confirmation::Ack(Some(returned(1))))),
        });
        let unroutable = async { Ok(Confirmation::Ack(None)) };
        let mut confirms = waiting(vec![Box::pin(late), Box::pin(unroutable), Box::pin(pending())]);
        confirms.look();
        let out = Outcomes::new(3);
        assert_eq!(confirms.say(&out), [0, 2]);
        assert!(matches!(out.get(1), Outcome::Destination(_)), "{:?}", out.get(1));
    }

    #[test]
    fn beside_a_confirm_that_was_dropped_nothing_is_delivered() {
        let mut confirms = waiting(vec![Box::pin(async { Ok(Confirmation::Ack(None)) })]);
        confirms.look();
        confirms.dropped();
        let out = Outcomes::new(1);
        assert_eq!((confirms.say(&out), out.get(0)), (vec![0], Outcome::Unknown(None)));
    }
}
