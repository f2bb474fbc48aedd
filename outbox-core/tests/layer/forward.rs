//! Every layer gives what the inner transport declares, finds and closes; a limit takes no more than 8 publishes.

use std::fmt::Debug;
use std::time::Duration;

use outbox_core::layer::{
    CatchUpLayer, ConcurrencyLimitLayer, Layer, RateLimitLayer, TimeoutLayer, TraceLayer, TransportExt,
};
use outbox_core::memory::MemoryStore;
use outbox_core::{Finding, KeyOrder, Message, Relay, StoreRelay, Transport};

use crate::broker::Broker;

async fn forwards<L>(layer: L, publishes: usize)
where
    L: Layer<Broker> + Debug,
    L::Service: Transport,
{
    let name = format!("{layer:?}");
    for order in [KeyOrder::OneInFlight, KeyOrder::Gapless] {
        let broker = Broker::new(order, Duration::from_millis(3));
        let transport = broker.clone().layer(&layer);
        assert_eq!(transport.capabilities(), broker.capabilities().publishes(publishes), "{name}");
        assert_eq!(most_under_way(transport, &broker).await, publishes, "{name}");
        let transport = broker.clone().layer(&layer);
        let found = transport.check(&["orders".into()]).await.expect("the broker was asked");
        assert_eq!(found, [Finding::new("orders", "make it")], "{name}");
        let closed = transport.close().await.expect_err("the broker's own answer").to_string();
        assert_eq!((closed.as_str(), broker.closed()), ("the connection was gone", 1), "{name}");
    }
}

/// What the relay makes of it.
async fn most_under_way(transport: impl Transport, broker: &Broker) -> usize {
    let store = MemoryStore::new();
    let mut tx = store.begin();
    for n in 0..100 {
        tx.enqueue(Message::new("orders", "order.created").key(n).text(n.to_string())).expect("valid");
    }
    tx.commit();
    let relay = StoreRelay::builder("test", store, transport).batch(1).build().expect("valid settings");
    assert_eq!(relay.until_drained(Duration::from_secs(60)).await.expect("drained"), 100);
    broker.most()
}

#[tokio::test(start_paused = true)]
async fn capabilities_findings_and_close_are_those_of_the_inner_transport() {
    let second = Duration::from_secs(1);
    forwards(TimeoutLayer::new(second), 16).await;
    forwards(RateLimitLayer::new(1_000, second), 8).await;
    forwards(ConcurrencyLimitLayer::new(16), 8).await;
    forwards(TraceLayer::new(), 16).await;
    forwards(CatchUpLayer::new(1_000), 8).await;
}
