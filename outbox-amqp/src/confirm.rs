//! From the broker's confirms to the outcomes of one channel's messages.
//!
//! lapin hands a returned message out with whichever confirm completes next, and may complete them in any order. So
//! which message was returned is known by its id only. A confirm that brings no return has found none waiting: that of
//! its own message, which comes before it, went with one that was complete earlier. One that brings another message's
//! return tells nothing of its own, which may still wait.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt;
use lapin::{Confirmation, Error, PublisherConfirm};
use outbox_core::Outcomes;
use tokio::time::{Instant, interval_at};

use crate::error::telling;
use crate::wire::Wired;

/// How often what is known of a slow publish is said: it may be dropped at any time.
pub(crate) const SLOW: Duration = Duration::from_millis(200);

/// One message on its way: its place in the batch, the id and topic by which its return is known, and its confirm.
struct Sent<C> {
    index: usize,
    name: (String, String),
    confirm: Confirm<C>,
}

enum Confirm<C> {
    Waiting(C),
    /// `bare`: without a return.
    Acked {
        bare: bool,
    },
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

    /// Waits for all of them, and says meanwhile what is known, so that who drops it loses nothing known.
    pub(crate) async fn wait(&mut self, out: &Outcomes) {
        let mut slow = interval_at(Instant::now() + SLOW, SLOW);
        for i in 0..self.sent.len() {
            while let Confirm::Waiting(confirm) = &mut self.sent[i].confirm {
                tokio::select! {
                    biased;
                    confirmed = confirm => self.confirmed(i, confirmed),
                    _ = slow.tick() => drop(self.say(out)),
                }
            }
        }
    }

    /// Takes in what is there already.
    fn look(&mut self) {
        for i in 0..self.sent.len() {
            let Confirm::Waiting(confirm) = &mut self.sent[i].confirm else { continue };
            if let Some(confirmed) = confirm.now_or_never() {
                self.confirmed(i, confirmed);
            }
        }
    }

    /// Confirms of this channel were dropped, and with them perhaps the return of a message that is acknowledged here.
    pub(crate) fn dropped(&mut self) {
        self.dropped = true;
    }

    fn confirmed(&mut self, i: usize, confirmed: Result<Confirmation, Error>) {
        let (confirm, returned) = match confirmed {
            Ok(Confirmation::Ack(returned)) => (Confirm::Acked { bare: returned.is_none() }, returned),
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
        self.sent.iter().all(|s| matches!(s.confirm, Confirm::Acked { .. } | Confirm::Nacked))
    }

    /// Says what is known, and gives what is not: the index of each message that may be stored or not. May be called
    /// again.
    pub(crate) fn say(&mut self, out: &Outcomes) -> Vec<usize> {
        self.look();
        let bare: Vec<bool> = self.sent.iter().map(|s| matches!(s.confirm, Confirm::Acked { bare: true })).collect();
        // Once more: what was complete before those is taken in now, with all returns that it brought.
        self.look();
        self.judge(out, &bare)
    }

    /// `bare`: of each message, whether its return, if there is one, is known.
    fn judge(&self, out: &Outcomes, bare: &[bool]) -> Vec<usize> {
        let mut returned = self.returned.clone();
        self.sent.iter().for_each(|s| _ = returned.remove(&s.name));
        // Of a return that is none of these messages nobody knows whose it is.
        let (all, clear) = (self.is_complete(), returned.is_empty() && !self.dropped);
        let mut unknown = Vec::new();
        for (s, bare) in self.sent.iter().zip(bare) {
            match (&s.confirm, self.returned.get(&s.name)) {
                (Confirm::Acked { .. } | Confirm::Nacked, Some(why)) => {
                    let topic = &s.name.1;
                    out.destination(
                        s.index,
                        format!("no queue takes the topic {topic:?} ({why}): declare or bind one"),
                    );
                }
                (Confirm::Acked { .. }, None) if clear && (all || *bare) => out.delivered(s.index),
                // It stores it no more; and it says so of a queue, which is full most often.
                (Confirm::Nacked, None) => {
                    let topic = &s.name.1;
                    out.destination(
                        s.index,
                        format!(
                            "a queue of the topic {topic:?} did not take it (basic.nack): it is full, or not available"
                        ),
                    );
                }
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

    fn name(n: usize) -> (String, String) {
        (n.to_string(), "orders".into())
    }

    /// What is said of these messages, where these were returned.
    fn said(confirms: Vec<Never>, returned: &[usize]) -> (Vec<Outcome>, Vec<usize>) {
        let out = Outcomes::new(confirms.len());
        let sent = confirms.into_iter().enumerate().map(|(index, confirm)| Sent { index, name: name(index), confirm });
        let returned = returned.iter().map(|n| (name(*n), "312 NO_ROUTE".into())).collect();
        let unknown = Confirms { sent: sent.collect(), returned, dropped: false, error: None }.say(&out);
        ((0..out.len()).map(|i| out.get(i)).collect(), unknown)
    }

    use Confirm::{Failed, Nacked};

    type Looked = Pin<Box<dyn Future<Output = Result<Confirmation, Error>>>>;
    type Never = Confirm<Pending<Result<Confirmation, Error>>>;

    const ACKED: Never = Confirm::Acked { bare: true };
    /// With the return of some other message.
    const CARRIER: Never = Confirm::Acked { bare: false };

    #[test]
    fn a_return_is_its_own_messages_only() {
        let (said, unknown) = said(vec![CARRIER, ACKED, ACKED], &[1]);
        assert!(matches!(&said[1], Outcome::Destination(why) if why.contains("orders") && why.contains("312")));
        assert_eq!((&said[0], &said[2]), (&Outcome::Delivered, &Outcome::Delivered));
        assert_eq!(unknown, Vec::<usize>::new());
    }

    #[test]
    fn an_acknowledgement_counts_at_once_where_nothing_was_returned() {
        let (said, unknown) = said(vec![ACKED, Failed, Nacked], &[]);
        assert_eq!((&said[0], unknown), (&Outcome::Delivered, vec![1]));
        assert!(matches!(&said[2], Outcome::Destination(why) if why.contains("orders") && why.contains("nack")));
    }

    #[test]
    fn while_confirms_are_missing_a_return_may_still_wait_behind_the_one_that_came() {
        let (said, unknown) = said(vec![ACKED, CARRIER, ACKED, Failed], &[0]);
        assert!(matches!(&said[0], Outcome::Destination(_)));
        // Whose confirm came without one has found none waiting.
        assert_eq!((&said[1], &said[2]), (&Outcome::Unknown(None), &Outcome::Delivered));
        assert_eq!(unknown, [1, 3]);
    }

    #[test]
    fn what_was_taken_in_after_the_others_is_not_judged_by_them() {
        let out = Outcomes::new(2);
        let sent = [ACKED, Failed].into_iter().enumerate();
        let sent = sent.map(|(index, confirm)| Sent { index, name: name(index), confirm }).collect();
        let confirms = Confirms { sent, returned: HashMap::new(), dropped: false, error: None };
        assert_eq!(
            confirms.judge(&out, &[false, false]),
            [0, 1],
            "the look that brought it may have missed its return"
        );
    }

    #[test]
    fn a_return_that_nobody_knows_leaves_every_acknowledgement_in_doubt() {
        let (said, unknown) = said(vec![ACKED, CARRIER], &[7]);
        assert_eq!((said, unknown), (vec![Outcome::Unknown(None); 2], vec![0, 1]));
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
        let out = Outcomes::new(3);
        assert_eq!(confirms.say(&out), [0, 2]);
        assert!(matches!(out.get(1), Outcome::Destination(_)), "{:?}", out.get(1));
    }

    #[test]
    fn beside_a_confirm_that_was_dropped_nothing_is_delivered() {
        let mut confirms = waiting(vec![Box::pin(async { Ok(Confirmation::Ack(None)) })]);
        confirms.dropped();
        let out = Outcomes::new(1);
        assert_eq!((confirms.say(&out), out.get(0)), (vec![0], Outcome::Unknown(None)));
    }
}
