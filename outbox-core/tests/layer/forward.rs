//! Every layer gives what the inner transport declares, finds and closes.

use std::fmt::Debug;
use std::time::Duration;

use outbox_core::layer::{
    CatchUpLayer, ConcurrencyLimitLayer, Layer, RateLimitLayer, TimeoutLayer, TraceLayer, TransportExt,
};
use outbox_core::{Finding, KeyOrder, Transport};

use crate::broker::Broker;

async fn forwards<L>(layer: L)
where
    L: Layer<Broker> + Debug,
    L::Service: Transport,
{
    let name = format!("{layer:?}");
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let broker = Broker::new(order, Duration::ZERO);
        let transport = broker.clone().layer(&layer);
        assert_eq!(transport.capabilities(), broker.capabilities(), "{name}");
        let found = transport.check(&["orders".into()]).await.expect("the broker was asked");
        assert_eq!(found, [Finding::new("orders", "make it")], "{name}");
        let closed = transport.close().await.expect_err("the broker's own answer").to_string();
        assert_eq!((closed.as_str(), broker.closed()), ("the connection was gone", 1), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn capabilities_findings_and_close_are_those_of_the_inner_transport() {
    let second = Duration::from_secs(1);
    forwards(TimeoutLayer::new(second)).await;
    forwards(RateLimitLayer::new(1, second)).await;
    forwards(ConcurrencyLimitLayer::new(1)).await;
    forwards(TraceLayer::new()).await;
    forwards(CatchUpLayer::new(1)).await;
}
