//! What waits in a layer around a gapless transport: in the order of the first polls, and not behind a failure.

use std::sync::Arc;
use std::time::Duration;

use outbox_core::KeyOrder::Gapless;
use outbox_core::layer::{CatchUpLayer, ConcurrencyLimit, ConcurrencyLimitLayer, RateLimitLayer, TransportExt};
use outbox_core::transport::Outcome;
use tokio::time::advance;

use crate::broker::{Broker, Publish, batch};

const SECOND: Duration = Duration::from_secs(1);

fn limited(publishes: usize) -> (Broker, Arc<ConcurrencyLimit<Broker>>) {
    let broker = Broker::new(Gapless, SECOND);
    let transport = Arc::new(broker.clone().layer(ConcurrencyLimitLayer::new(publishes)));
    (broker, transport)
}

#[tokio::test(start_paused = true)]
async fn publishes_that_are_let_in_together_go_in_the_order_of_their_first_polls() {
    let (broker, transport) = limited(3);
    let mut first: Vec<Publish> = ["1", "2", "3"].map(|m| Publish::started(&transport, batch(&[("k", m)]))).into();
    let mut next: Vec<Publish> = ["4", "5", "6"].map(|m| Publish::started(&transport, batch(&[("k", m)]))).into();
    advance(SECOND).await;
    assert!(first.iter_mut().all(Publish::poll));
    // Whoever is woken first.
    for round in 0..3 {
        next.iter_mut().rev().for_each(|publish| _ = publish.poll());
        assert_eq!(broker.handed_over().len(), 4 + round);
    }
    assert_eq!(broker.handed_over(), ["1", "2", "3", "4", "5", "6"]);
}

#[tokio::test(start_paused = true)]
async fn behind_a_publish_that_was_dropped_while_it_waited_nothing_goes_until_all_have_ended() {
    let (broker, transport) = limited(1);
    let mut first = Publish::started(&transport, batch(&[("a", "1")]));
    let dropped = Publish::started(&transport, batch(&[("k", "2")]));
    let mut behind = Publish::started(&transport, batch(&[("k", "3")]));
    drop(dropped);
    let mut late = Publish::new(&transport, batch(&[("k", "4")]));
    assert!(late.poll() && behind.poll(), "both end, with nothing handed over");
    assert_eq!([behind.out.get(0), late.out.get(0)], [Outcome::Unknown(None), Outcome::Unknown(None)]);
    assert!(Publish::new(&transport, batch(&[("k", "5")])).poll(), "the first is still under way");
    advance(SECOND).await;
    assert!(first.poll() && first.out.all_delivered());
    for m in ["2", "3"] {
        assert!(Publish::new(&transport, batch(&[("k", m)])).end().await.all_delivered());
    }
    assert_eq!(broker.handed_over(), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn behind_a_publish_of_which_nothing_was_stored_nothing_goes() {
    let (broker, transport) = limited(1);
    let mut first = Publish::started(&transport, batch(&[("a", "lost/1"), ("b", "lost/2")]));
    let mut behind = Publish::started(&transport, batch(&[("c", "3")]));
    advance(SECOND).await;
    assert!(first.poll() && behind.poll());
    assert_eq!(behind.out.get(0), Outcome::Unknown(None));
    assert!(Publish::new(&transport, batch(&[("c", "3")])).end().await.all_delivered());
    assert_eq!(broker.handed_over(), ["lost/1 lost/2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn one_failure_among_others_holds_its_own_key_and_topic_alone() {
    for (failed, said) in [
        ("lost/1", Outcome::Unknown(Some("an earlier message of its key was not stored".into()))),
        ("silent/1", Outcome::Unknown(Some("an earlier message of its key was not stored".into()))),
        ("nowhere/1", Outcome::Destination("no such topic".into())),
    ] {
        let (broker, transport) = limited(1);
        let mut first = Publish::started(&transport, batch(&[("a", failed), ("b", "2"), ("c", "bad/3")]));
        let mut behind = Publish::started(&transport, batch(&[("b", "4"), ("a", "5"), ("c", "6")]));
        let mut only = Publish::started(&transport, batch(&[("a", "7")]));
        advance(SECOND).await;
        assert!(first.poll() && !behind.poll());
        advance(SECOND).await;
        assert!(behind.poll() && only.poll());
        let of_behind: Vec<Outcome> = (0..3).map(|i| behind.out.get(i)).collect();
        assert_eq!(of_behind, [Outcome::Delivered, said.clone(), Outcome::Delivered]);
        assert_eq!(only.out.get(0), said);
        assert!(Publish::new(&transport, batch(&[("a", "again")])).end().await.all_delivered());
        assert_eq!(broker.handed_over(), [format!("{failed} 2 bad/3"), "4 6".into(), "again".into()]);
    }
}

/// Else a busy transport would hold a key for ever.
#[tokio::test(start_paused = true)]
async fn a_key_is_held_only_as_long_as_what_was_under_way_when_it_failed() {
    let (broker, transport) = limited(3);
    let mut failed = Publish::started(&transport, batch(&[("a", "lost/1"), ("b", "2")]));
    advance(SECOND / 2).await;
    let mut beside = Publish::started(&transport, batch(&[("c", "3")]));
    advance(SECOND / 2).await;
    assert!(failed.poll());
    let mut after = Publish::started(&transport, batch(&[("d", "4")]));
    assert!(Publish::new(&transport, batch(&[("a", "5")])).poll(), "one that was under way has not ended");
    advance(SECOND / 2).await;
    assert!(beside.poll() && !after.poll());
    assert!(Publish::new(&transport, batch(&[("a", "again")])).end().await.all_delivered());
    assert_eq!(broker.handed_over(), ["lost/1 2", "3", "4", "again"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_tokens_learns_of_a_failure_at_once() {
    let broker = Broker::new(Gapless, SECOND);
    let limits = RateLimitLayer::new(1, SECOND * 100).burst(1);
    let transport = Arc::new(broker.clone().layer(limits).layer(CatchUpLayer::new(1_000_000)));
    let mut first = Publish::started(&transport, batch(&[("a", "lost/1")]));
    let mut behind = Publish::started(&transport, batch(&[("a", "2")]));
    advance(SECOND).await;
    assert!(first.poll() && behind.poll(), "it does not wait out the 100 s");
    assert_eq!(broker.handed_over(), ["lost/1"]);
}

#[tokio::test(start_paused = true)]
async fn an_only_publish_that_failed_holds_nothing() {
    let (broker, transport) = limited(1);
    for _ in 0..3 {
        assert!(!Publish::new(&transport, batch(&[("a", "lost/1")])).end().await.all_delivered());
    }
    assert!(Publish::new(&transport, batch(&[("a", "2")])).end().await.all_delivered());
    assert_eq!(broker.handed_over().len(), 4);
}
