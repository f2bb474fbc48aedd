//! What is traced of a publish, and what is not. By itself: a test beside these that has no subscriber may be the first
//! to come by an event, and switch it off for all while a subscriber is being set.

#[path = "../layer/broker.rs"]
#[expect(dead_code, reason = "the tests of the other layers use the rest")]
mod broker;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::layer::{TraceLayer, TransportExt};
use outbox_core::{BatchBuilder, KeyOrder, Message, Outcomes, Row, Transport};
use tokio::time::timeout;

use crate::broker::{Broker, batch, many};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log of `work`.
async fn log(work: impl Future<Output = ()>) -> String {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    work.await;
    let text = written.0.lock().unwrap().clone();
    String::from_utf8(text).unwrap()
}

fn has(log: &str, parts: &[&str]) {
    assert_eq!(log.lines().count(), 1, "one event: {log}");
    parts.iter().for_each(|part| assert!(log.contains(part), "{part:?} is not in {log}"));
}

fn broker() -> Broker {
    Broker::new(KeyOrder::OneInFlight, Duration::from_millis(20))
}

#[tokio::test(start_paused = true)]
async fn a_publish_is_a_span_with_one_event() {
    let log = log(async { broker().layer(TraceLayer::new()).publish(many(3), &Outcomes::new(3)).await }).await;
    has(&log, &["DEBUG publish{messages=3 bytes=", "topic=\"orders\"", "delivered=3 unknown=0 rejected=0"]);
    has(&log, &["destination=0 duration_ms=2", "dropped=false"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_delivered_is_counted_by_kind_in_a_warning() {
    let messages = [("a", "1"), ("b", "lost"), ("c", "bad"), ("d", "bad"), ("e", "nowhere"), ("f", "silent")];
    let log = log(async {
        broker().layer(TraceLayer::new()).publish(batch(&messages), &Outcomes::new(6)).await;
    })
    .await;
    has(&log, &["WARN", "delivered=1 unknown=2 rejected=2 destination=1", "dropped=false"]);
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_was_dropped_is_told_of_too() {
    let log = log(async {
        let (transport, out) = (broker().layer(TraceLayer::new()), Outcomes::new(2));
        timeout(Duration::from_millis(10), transport.publish(many(2), &out)).await.expect_err("too slow");
    })
    .await;
    has(&log, &["WARN", "unknown=2", "dropped=true"]);
}

#[tokio::test(start_paused = true)]
async fn several_topics_are_counted_and_no_content_is_shown() {
    let mut batch = BatchBuilder::new();
    for (seq, topic) in (1..).zip(["orders", "mails", "orders"]) {
        let m = Message::new(topic, "order.created");
        batch.push(&Row {
            seq,
            id: m.id.as_uuid().as_u128(),
            created_at: 0,
            topic: &m.topic,
            key: Some("hidden-key"),
            event_type: &m.event_type,
            payload: b"hidden-payload",
            content_type: Some("hidden/type"),
            headers: Some(r#"{"hidden-name": "hidden-value"}"#),
        });
    }
    let log = log(async { broker().layer(TraceLayer::new()).publish(batch.finish(), &Outcomes::new(3)).await }).await;
    has(&log, &["topics=2"]);
    assert!(!log.contains("hidden"), "{log}");
}
