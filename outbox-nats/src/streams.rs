//! Which streams there are.

use std::sync::{Arc, PoisonError};

use async_nats::Request;
use async_nats::client::RequestErrorKind;
use async_nats::jetstream::Error as ApiError;
use serde::Deserialize;

use crate::client::{ASK, Connected};

/// Who listens on a subject.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Stream(String),
    Nobody,
    /// JetStream did not say, but something answered.
    Unclear(String),
    /// Nothing answered.
    Silence,
}

#[derive(Deserialize)]
struct Names {
    streams: Option<Vec<String>>,
    error: Option<ApiError>,
}

/// So many subjects are remembered at most, then all are forgotten.
const REMEMBERED: usize = 10_000;

impl Connected {
    /// The stream of this subject, where it stores batches at once. Asked once for each subject. Servers before 2.12
    /// pass over the headers of a batch, and store its messages one by one: so it is looked at beforehand.
    /// `mute`: nothing can be asked.
    pub(crate) async fn atomic_stream(&self, api: &str, subject: &str, mute: bool) -> Option<Arc<str>> {
        let known = || self.atomic.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = known().get(subject) {
            return stream.clone();
        }
        if mute {
            return None;
        }
        let Listener::Stream(name) = self.listener(api, subject).await else { return None };
        let stream = self.jetstream.get_stream(&name).await.ok()?;
        let atomic = stream.cached_info().config.allow_atomic_publish.then(|| Arc::from(name));
        let mut known = known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(subject.to_owned(), atomic.clone());
        atomic
    }

    /// The stream that listens on this subject.
    pub(crate) async fn listener(&self, api: &str, subject: &str) -> Listener {
        let question = serde_json::json!({ "subject": subject }).to_string();
        let request = Request::new().payload(question.into()).timeout(Some(ASK));
        match self.nats.send_request(format!("{api}.STREAM.NAMES"), request).await {
            Ok(answer) => match serde_json::from_slice::<Names>(&answer.payload) {
                Ok(Names { error: Some(e), .. }) => Listener::Unclear(e.to_string()),
                Ok(Names { streams, .. }) => {
                    streams.unwrap_or_default().into_iter().next().map_or(Listener::Nobody, Listener::Stream)
                }
                Err(e) => Listener::Unclear(format!("JetStream's answer cannot be read: {e}")),
            },
            Err(e) => match e.kind() {
                RequestErrorKind::NoResponders => Listener::Unclear(
                    "JetStream does not answer: it is not enabled for this account, or not ready".into(),
                ),
                _ => Listener::Silence,
            },
        }
    }
}
