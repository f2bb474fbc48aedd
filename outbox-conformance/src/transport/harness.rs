use std::sync::Arc;
use std::time::Duration;

use outbox_core::memory::SentMessage;
use outbox_core::{Message, MessageRef, Transport};

/// What the suite needs to know of a transport: how it is made, and what its broker has stored.
///
/// Each case starts a harness of its own. The methods with a default are hooks for what only some brokers can show: a
/// case that needs one says "not shown" where it is missing.
#[expect(async_fn_in_trait, reason = "a case runs on one thread, so nothing has to be Send")]
pub trait TransportHarness: Sized {
    /// What is tested.
    type Transport: Transport;

    /// How long a publish may take before it is dropped, as the relay drops it; and how long the suite waits for what
    /// must come, three times over. Default: 10 s.
    const DEADLINE: Duration = Duration::from_secs(10);

    /// An empty destination.
    async fn start() -> Self;

    /// A transport to it. Some cases ask for more than one.
    async fn transport(&self) -> Self::Transport;

    /// Everything that the broker has stored, read past all [`Faults`]; the messages of a key in their order.
    async fn stored(&self) -> Vec<Stored>;

    /// Makes a topic and gives its name. A broker that other tests use gives another name than it was asked for, one of
    /// the same length where that is longer than 40 bytes. Default: topics need not be made.
    async fn topic(&self, name: &str) -> String {
        name.to_owned()
    }

    /// How the way to the broker is broken. Asked first of all, so that a harness may here move from a shared broker to
    /// one of its own. Default: it cannot be broken.
    async fn faults(&mut self) -> Option<Arc<dyn Faults>> {
        None
    }

    /// A message within the limits that this broker refuses. Default: it refuses none.
    async fn poison(&self) -> Option<Message> {
        None
    }

    /// A topic that this broker does not have. Default: it takes every topic.
    async fn nowhere(&self) -> Option<String> {
        None
    }
}

/// Breaks the way to a broker. [`Proxy`](super::Proxy) does, in front of anything that speaks TCP.
pub trait Faults: Send + Sync {
    /// All connections are reset; new ones can be made.
    fn cut(&self);

    /// Requests reach the broker, but what it answers is lost, until [`heal`](Self::heal).
    fn drop_replies(&self);

    /// All connections are reset and none can be made, until [`heal`](Self::heal).
    fn refuse(&self);

    /// Back to normal. Connections of which anything was lost are reset.
    fn heal(&self);
}

/// A message as the broker stored it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "harnesses build it")]
pub struct Stored {
    /// The message id, hyphenated.
    pub id: String,
    /// The topic.
    pub topic: String,
    /// The ordering key; `None` for a message without.
    pub key: Option<String>,
    /// The event type.
    pub event_type: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The payload's media type.
    pub content_type: Option<String>,
    /// The message's own headers, in any order. What the transport adds for itself may be here too.
    pub headers: Vec<(String, String)>,
}

impl From<&MessageRef<'_>> for Stored {
    /// As a closure or a double in memory stores it.
    fn from(m: &MessageRef<'_>) -> Self {
        Self {
            id: m.id().to_string(),
            topic: m.topic().into(),
            key: m.key().map(str::to_owned),
            event_type: m.event_type().into(),
            payload: m.payload().to_vec(),
            content_type: m.content_type().map(str::to_owned),
            headers: m.headers().unwrap_or_default(),
        }
    }
}

impl From<&SentMessage> for Stored {
    fn from(m: &SentMessage) -> Self {
        Self {
            id: m.id().to_string(),
            topic: m.topic().into(),
            key: m.key().map(str::to_owned),
            event_type: m.event_type().into(),
            payload: m.payload().to_vec(),
            content_type: m.content_type().map(str::to_owned),
            headers: m.headers().to_vec(),
        }
    }
}

impl Stored {
    /// The payload as text; the suite's own payloads are text, except where bytes are what is tested.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap_or_default()
    }
}
