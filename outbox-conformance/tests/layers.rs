//! The suite over every layer, around the double of a broker; and layers that break its clauses.

#[expect(dead_code, reason = "its bugs are for transport_mutants")]
mod transport_double;

#[path = "layers/broken.rs"]
mod broken;

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outbox_conformance::transport::{Faults, Stored, TransportHarness, cases};
use outbox_core::layer::{
    CatchUp, CatchUpLayer, ConcurrencyLimit, ConcurrencyLimitLayer, RateLimit, RateLimitLayer, Timeout, TimeoutLayer,
    Trace, TraceLayer, TransportExt,
};
use outbox_core::{Message, Transport};
use transport_double::{Bug, Double, Net};

/// How a transport is layered.
trait Layered: Sized + 'static {
    type Transport: Transport;

    fn around(net: Net) -> Self::Transport;
}

/// The double with layers around it.
struct Around<L, const GAPLESS: bool>(Double<GAPLESS>, PhantomData<L>);

impl<L, const GAPLESS: bool> Around<L, GAPLESS> {
    fn new() -> Self {
        Self(Double::new(Bug::None), PhantomData)
    }
}

impl<L: Layered, const GAPLESS: bool> TransportHarness for Around<L, GAPLESS> {
    type Transport = L::Transport;

    const DEADLINE: Duration = Double::<GAPLESS>::DEADLINE;

    async fn start() -> Self {
        Self::new()
    }

    async fn transport(&self) -> L::Transport {
        L::around(self.0.transport().await)
    }

    async fn stored(&self) -> Vec<Stored> {
        self.0.stored().await
    }

    async fn faults(&mut self) -> Option<Arc<dyn Faults>> {
        self.0.faults().await
    }

    async fn poison(&self) -> Option<Message> {
        self.0.poison().await
    }

    async fn nowhere(&self) -> Option<String> {
        self.0.nowhere().await
    }
}

/// The suite for one way of layering, around both kinds of transport.
macro_rules! layered {
    ($module:ident, $name:ident: $transport:ty = $layered:expr) => {
        struct $name;

        impl Layered for $name {
            type Transport = $transport;

            fn around(net: Net) -> $transport {
                let layered: fn(Net) -> $transport = $layered;
                layered(net)
            }
        }

        mod $module {
            mod one_in_flight {
                outbox_conformance::transport_suite!(crate::Around<crate::$name, false>);
            }

            mod gapless {
                outbox_conformance::transport_suite!(crate::Around<crate::$name, true>);
            }
        }
    };
}

const SECOND: Duration = Duration::from_secs(1);

// Limits that the suite runs into, and that let it end within its deadlines.
layered!(timeout, InTime: Timeout<Net> = |net| net.layer(TimeoutLayer::new(SECOND)));
layered!(rate_limit, Rated: RateLimit<Net> = |net| net.layer(RateLimitLayer::new(5_000, SECOND).burst(25)));
layered!(one_at_once, OneAtOnce: ConcurrencyLimit<Net> = |net| net.layer(ConcurrencyLimitLayer::new(1)));
layered!(two_at_once, TwoAtOnce: ConcurrencyLimit<Net> = |net| net.layer(ConcurrencyLimitLayer::new(2)));
layered!(trace, Traced: Trace<Net> = |net| net.layer(TraceLayer::new()));
layered!(catch_up, Paced: CatchUp<Net> = |net| net.layer(CatchUpLayer::new(5_000).deadline(SECOND)));
// Every other publish is of fresh messages.
layered!(catch_up_in_turns, InTurns: CatchUp<Net> = |net| net.layer(CatchUpLayer::new(5_000).clock(in_turns())));
layered!(
    all_together,
    All: Trace<CatchUp<RateLimit<ConcurrencyLimit<Timeout<Net>>>>> = |net| {
        net.layer(TimeoutLayer::new(SECOND))
            .layer(ConcurrencyLimitLayer::new(2))
            .layer(RateLimitLayer::new(5_000, SECOND).burst(25))
            .layer(CatchUpLayer::new(5_000).deadline(SECOND).clock(in_turns()))
            .layer(TraceLayer::new())
    }
);

/// The suite's messages are of 2023.
fn in_turns() -> impl Fn() -> SystemTime {
    let asked = AtomicU64::new(0);
    move || match asked.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        _ => SystemTime::now(),
    }
}

/// The clauses of order that notice, around a transport that takes many of a key at once.
fn caught<L: Layered>() -> Vec<&'static str> {
    let of_order = |case: &outbox_conformance::Case<_>| ["ORDER-1", "ORDER-2", "ORDER-3"].contains(&case.id());
    let failed = |case: outbox_conformance::Case<Around<L, true>>| {
        let seen = case.run(async || Around::new()).err()?;
        println!("{}: {seen}", case.id());
        Some(case.id())
    };
    cases().into_iter().filter(of_order).filter_map(failed).collect()
}

#[test]
fn a_rate_limit_that_serves_the_last_first_breaks_the_order_of_first_polls() {
    assert!(caught::<broken::LastFirst>().contains(&"ORDER-2"));
}

#[test]
fn a_layer_that_splits_a_batch_into_parts_at_once_breaks_the_order_within_it() {
    assert!(caught::<broken::InParts>().contains(&"ORDER-2"));
}

#[test]
fn a_fair_queue_that_goes_on_behind_a_failure_leaves_a_gap() {
    assert_eq!(caught::<broken::GoesOn>(), ["ORDER-3"]);
}
