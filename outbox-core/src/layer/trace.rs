use std::collections::HashSet;
use std::time::Duration;

use tracing::{Instrument, Level, Span, field};

use super::Layer;
use crate::transport::Outcome;
use crate::{Batch, Outcomes, Transport, clock};

/// A tracing span `publish` around every publish, and one event in it when that ended.
///
/// The span (debug) has `messages`, `bytes`, and `topic`, or where there are several their number, `topics`. The event
/// has `delivered`, `unknown`, `rejected`, `destination`, how long it took as `duration_ms`, and `dropped`, whether the
/// publish was dropped before its end; it is a warning unless everything was delivered, else debug. No payload, key or
/// header is in either.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceLayer {}

impl TraceLayer {
    /// The target is `outbox_core::layer::trace`.
    pub const fn new() -> Self {
        Self {}
    }
}

impl<T: Transport> Layer<T> for TraceLayer {
    type Service = Trace<T>;

    fn layer(&self, inner: T) -> Trace<T> {
        Trace { inner }
    }
}

/// See [`TraceLayer`].
#[derive(Debug)]
pub struct Trace<T> {
    inner: T,
}

super::transport!(Trace);

impl<T: Transport> Trace<T> {
    async fn forward(&self, batch: Batch, out: &Outcomes) {
        if !tracing::enabled!(Level::WARN) {
            return self.inner.publish(batch, out).await;
        }
        let span = span(&batch);
        let mut report = Report { span: span.clone(), out: out.clone(), started: clock::now(), dropped: true };
        self.inner.publish(batch, out).instrument(span).await;
        report.dropped = false;
    }
}

fn span(batch: &Batch) -> Span {
    let messages = batch.len();
    let span =
        tracing::debug_span!("publish", messages, bytes = batch.bytes(), topic = field::Empty, topics = field::Empty);
    if !span.is_disabled() {
        let topics: HashSet<&str> = batch.iter().map(|m| m.topic()).collect();
        match topics.iter().next() {
            Some(topic) if topics.len() == 1 => span.record("topic", *topic),
            _ => span.record("topics", topics.len()),
        };
    }
    span
}

/// Tells how a publish ended, however it did.
struct Report {
    span: Span,
    out: Outcomes,
    started: std::time::Instant,
    dropped: bool,
}

impl Drop for Report {
    fn drop(&mut self) {
        let _in_span = self.span.enter();
        let duration_ms = millis(clock::now().saturating_duration_since(self.started));
        let (mut delivered, mut unknown, mut rejected, mut destination) = (self.out.len(), 0, 0, 0);
        if !self.out.all_delivered() {
            delivered = 0;
            for outcome in self.out.all() {
                *match outcome {
                    Outcome::Delivered => &mut delivered,
                    Outcome::Rejected(_) => &mut rejected,
                    Outcome::Destination(_) => &mut destination,
                    Outcome::Unknown(_) | Outcome::Panicked => &mut unknown,
                } += 1;
            }
        }
        let dropped = self.dropped;
        if delivered == self.out.len() {
            tracing::debug!(delivered, unknown, rejected, destination, duration_ms, dropped, "published");
        } else {
            tracing::warn!(delivered, unknown, rejected, destination, duration_ms, dropped, "published in part");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
