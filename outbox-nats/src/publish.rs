use std::collections::HashMap;
use std::fmt::Write as _;

use async_nats::client::PublishErrorKind;
use futures_util::future::join_all;
use outbox_core::{Batch, InvalidMessage, Outcomes};
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::Connected;
use crate::config::Settings;
use crate::confirm::Confirmations;
use crate::error::chain;
use crate::streams::Listener;
use crate::waiting::Waiting;
use crate::wire::Outgoing;

/// So many subjects are asked about at once.
const ASKED: usize = 64;

/// The client died.
#[derive(Debug)]
pub(crate) struct Died;

/// One publish, with a connected client.
pub(crate) struct Publish<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) confirmations: &'a Confirmations,
    pub(crate) connected: &'a Connected,
    pub(crate) waiting: &'a Waiting,
    pub(crate) batch: &'a Batch,
    pub(crate) publish: usize,
    pub(crate) out: &'a Outcomes,
}

impl Publish<'_> {
    pub(crate) async fn run(&self) {
        if self.settings.atomic_batches {
            self.gapless().await;
        } else {
            self.singles().await;
        }
        if let Some(why) = self.confirmations.dead() {
            (0..self.batch.len()).for_each(|i| self.out.unknown(i, why));
        }
    }

    /// Each message by itself, all under way together.
    async fn singles(&self) {
        for index in 0..self.batch.len() {
            match self.outgoing(index) {
                Ok(outgoing) => {
                    if self.send(index, outgoing).await.is_err() {
                        return;
                    }
                }
                Err(e) => self.out.reject(index, e),
            }
        }
        self.answered().await;
    }

    pub(crate) fn outgoing(&self, index: usize) -> Result<Outgoing, InvalidMessage> {
        self.settings.wire.outgoing(&self.batch.get(index))
    }

    /// Hands a message to the client; waits where too many are under way.
    ///
    /// # Errors
    /// When the client died.
    pub(crate) async fn send(&self, index: usize, outgoing: Outgoing) -> Result<(), Died> {
        self.room(1).await?;
        let Outgoing { subject, headers, payload } = outgoing;
        let reply = self.reply(index);
        self.waiting.sending(index);
        let sent = self.connected.nats.publish_with_reply_and_headers(subject, reply, headers, payload);
        let Err(e) = self.taken(sent).await? else { return Ok(()) };
        match e.kind() {
            PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::InvalidSubject => {
                self.out.reject(index, chain(&e));
                self.settle(index);
                Ok(())
            }
            _ => Err(self.died(&e)),
        }
    }

    /// Waits until so many more may be under way.
    pub(crate) async fn room(&self, messages: usize) -> Result<(), Died> {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        let room = self.taken(self.confirmations.room.acquire_many(messages)).await?;
        room.map_err(|_| Died)?.forget();
        Ok(())
    }

    /// Waits for the client to take something, but not for ever.
    ///
    /// # Errors
    /// When it takes nothing: nobody reads at the other end of its connection.
    pub(crate) async fn taken<T>(&self, taking: impl Future<Output = T>) -> Result<T, Died> {
        let within = self.settings.ack_timeout;
        timeout(within, taking).await.map_err(|_| {
            self.confirmations.die(format!("NATS has taken nothing within {within:?}"));
            Died
        })
    }

    /// Where the acknowledgement of a message goes.
    pub(crate) fn reply(&self, index: usize) -> String {
        let mut reply = String::with_capacity(self.connected.inbox.len() + 20);
        reply.push_str(&self.connected.inbox);
        _ = write!(reply, "{}", self.publish + index);
        reply
    }

    pub(crate) fn died(&self, error: &dyn std::error::Error) -> Died {
        self.confirmations.die(chain(error));
        Died
    }

    fn settle(&self, index: usize) {
        if self.waiting.settle(index) {
            self.confirmations.room.add_permits(1);
        }
    }

    /// Waits until every message that was sent was answered, as long as answers come. Gives what was to be stored at
    /// once, and was not.
    pub(crate) async fn answered(&self) -> Vec<usize> {
        let mut singly = Vec::new();
        let mut left = self.waiting.unanswered();
        let mut end = Instant::now() + self.settings.ack_timeout;
        loop {
            let trouble = self.waiting.take_trouble();
            if !trouble.denied.is_empty() {
                self.deny(&trouble.denied);
            }
            if !trouble.absent.is_empty() {
                self.find(&trouble.absent).await;
            }
            singly.extend(trouble.singly);
            let now = self.waiting.unanswered();
            if now == 0 && self.waiting.is_untroubled() {
                return singly;
            }
            if now < left {
                (left, end) = (now, Instant::now() + self.settings.ack_timeout);
            }
            tokio::select! {
                () = self.waiting.news() => {}
                _ = self.confirmations.died() => return singly,
                () = sleep_until(end) => {
                    if self.waiting.unanswered() == left {
                        self.silence().await;
                        return singly;
                    }
                }
            }
        }
    }

    /// We may not publish to these subjects.
    fn deny(&self, subjects: &[String]) {
        for index in self.waiting.silent() {
            let subject = self.settings.wire.subject(self.batch.get(index).topic());
            if subjects.contains(&subject) {
                self.out.destination(index, format!("it is not permitted to publish to the subject {subject:?}"));
                self.settle(index);
            }
        }
    }

    /// Nobody listened on the subjects of these messages in that moment: because there is no stream, or because it is
    /// without a leader just now.
    async fn find(&self, absent: &[usize]) {
        for (subject, (listener, messages)) in self.listeners(absent).await {
            let stream = match listener {
                Listener::Stream(stream) => {
                    Ok(format!("the stream {stream} has the subject {subject:?}, but does not answer"))
                }
                Listener::Unclear(why) => Ok(why),
                Listener::Silence if !self.confirmations.is_mute() => Ok("JetStream does not answer".to_owned()),
                Listener::Nobody | Listener::Silence => Err(format!("no stream has the subject {subject:?}: make one")),
            };
            for index in messages {
                match &stream {
                    Ok(why) => self.out.unknown(index, why.as_str()),
                    Err(why) => self.out.destination(index, why.as_str()),
                }
            }
        }
    }

    /// Nothing was answered for too long. Finds out whether the connection is to blame.
    async fn silence(&self) {
        let silent = self.waiting.silent();
        let within = self.settings.ack_timeout;
        let listeners = self.listeners(&silent).await;
        // Where nothing may come behind what is not known, the client ends as well.
        if self.settings.atomic_batches || listeners.values().all(|(listener, _)| *listener == Listener::Silence) {
            return self.confirmations.die(format!("NATS has not answered within {within:?}"));
        }
        for (subject, (listener, messages)) in listeners {
            let destination = match &listener {
                Listener::Nobody => Some(format!("no stream has the subject {subject:?}: make one")),
                Listener::Stream(stream) if self.is_mute(stream).await => {
                    Some(format!("the stream {stream} acknowledges nothing: set its no_ack to false"))
                }
                _ => None,
            };
            for index in messages {
                match &destination {
                    Some(why) => self.out.destination(index, why.as_str()),
                    None => self.out.unknown(index, format!("no acknowledgement within {within:?}")),
                }
            }
        }
    }

    async fn is_mute(&self, stream: &str) -> bool {
        self.connected.jetstream.get_stream(stream).await.is_ok_and(|stream| stream.cached_info().config.no_ack)
    }

    /// Who listens on the subjects of these messages.
    async fn listeners(&self, messages: &[usize]) -> HashMap<String, (Listener, Vec<usize>)> {
        let mut subjects: HashMap<String, Vec<usize>> = HashMap::new();
        for index in messages {
            subjects.entry(self.settings.wire.subject(self.batch.get(*index).topic())).or_default().push(*index);
        }
        let ask = subjects.into_iter().enumerate().map(async |(n, (subject, messages))| {
            let listener = match n {
                ..ASKED => self.connected.listener(&self.settings.api, &subject).await,
                _ => Listener::Unclear("too many subjects are in trouble to ask about each".into()),
            };
            (subject, (listener, messages))
        });
        join_all(ask).await.into_iter().collect()
    }
}
