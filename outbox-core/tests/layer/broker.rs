//! A broker in memory that remembers what it was handed and when, and says of a message what its payload asks for.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use outbox_core::{
    Batch, BatchBuilder, BoxError, Finding, KeyOrder, Message, Outcomes, Row, Transport, TransportCapabilities,
    async_trait,
};
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub(crate) struct Broker {
    order: KeyOrder,
    takes: Duration,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    calls: Vec<Call>,
    under_way: usize,
    most: usize,
    closed: usize,
}

/// One publish, when it was first polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) payloads: Vec<String>,
}

impl Broker {
    /// Answers a publish after so long.
    pub(crate) fn new(order: KeyOrder, takes: Duration) -> Self {
        Self { order, takes, log: Arc::default() }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.log.lock().unwrap().calls.clone()
    }

    /// What was handed over, publish by publish.
    pub(crate) fn handed_over(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.payloads.join(" ")).collect()
    }

    /// The most publishes that were under way at once.
    pub(crate) fn most(&self) -> usize {
        self.log.lock().unwrap().most
    }

    pub(crate) fn closed(&self) -> usize {
        self.log.lock().unwrap().closed
    }
}

struct UnderWay<'a>(&'a Broker);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.log.lock().unwrap().under_way -= 1;
    }
}

#[async_trait]
impl Transport for Broker {
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::new().key_order(self.order).max_payload(77).publishes(16)
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        {
            let mut log = self.log.lock().unwrap();
            let payloads = batch.iter().map(|m| text(m.payload())).collect();
            log.calls.push(Call { at: Instant::now(), payloads });
            log.under_way += 1;
            log.most = log.most.max(log.under_way);
        }
        let _under_way = UnderWay(self);
        tokio::time::sleep(self.takes).await;
        for m in batch.iter() {
            match text(m.payload()).split('/').next() {
                Some("lost") => out.unknown(m, "cut"),
                Some("nowhere") => out.destination(m, "no such topic"),
                Some("bad") => out.reject(m, "not for this broker"),
                Some("silent") => {}
                _ => out.delivered(m),
            }
        }
    }

    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        Ok(topics.iter().map(|topic| Finding::new(topic, "make it")).collect())
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.log.lock().unwrap().closed += 1;
        Err("the connection was gone".into())
    }
}

/// Messages `(key, payload)`, created at so many microseconds.
pub(crate) fn batch_of(created_at: i64, messages: &[(&str, &str)]) -> Batch {
    let mut batch = BatchBuilder::new();
    messages.iter().for_each(|m| push(&mut batch, created_at, m));
    batch.finish()
}

pub(crate) fn push(batch: &mut BatchBuilder, created_at: i64, (key, payload): &(&str, &str)) {
    let m = Message::new("orders", "order.created");
    batch.push(&Row {
        seq: 1 + batch.len() as i64,
        id: m.id.as_uuid().as_u128(),
        created_at,
        topic: &m.topic,
        key: Some(key),
        event_type: &m.event_type,
        payload: payload.as_bytes(),
        content_type: None,
        headers: None,
    });
}

pub(crate) fn batch(messages: &[(&str, &str)]) -> Batch {
    batch_of(1_700_000_000_000_000, messages)
}

/// So many messages, each of its own key.
pub(crate) fn many(n: usize) -> Batch {
    let keys: Vec<String> = (0..n).map(|n| n.to_string()).collect();
    batch(&keys.iter().map(|key| (key.as_str(), key.as_str())).collect::<Vec<_>>())
}

/// A publish that is polled by hand.
pub(crate) struct Publish {
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pub(crate) out: Outcomes,
}

impl Publish {
    pub(crate) fn new(transport: &Arc<impl Transport>, batch: Batch) -> Self {
        let (transport, out) = (transport.clone(), Outcomes::new(batch.len()));
        let said = out.clone();
        Self { future: Some(Box::pin(async move { transport.publish(batch, &said).await })), out }
    }

    /// Made, and polled for the first time.
    pub(crate) fn started(transport: &Arc<impl Transport>, batch: Batch) -> Self {
        let mut publish = Self::new(transport, batch);
        publish.poll();
        publish
    }

    /// Whether it has ended.
    pub(crate) fn poll(&mut self) -> bool {
        let Some(future) = &mut self.future else { return true };
        let ended = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(());
        if ended {
            self.future = None;
        }
        ended
    }

    pub(crate) async fn end(mut self) -> Outcomes {
        if let Some(future) = self.future.take() {
            future.await;
        }
        self.out
    }
}
