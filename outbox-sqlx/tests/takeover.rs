//! A relay that was stopped in good order says exactly what is not settled, however scattered that is.
#![cfg(all(feature = "postgres", feature = "sqlite"))]

mod both;

use both::{SOON, Shop, on_both, tags};
use outbox_core::Relay;
use outbox_core::memory::MemoryTransport;

on_both!(thousands_of_gaps_are_taken_over_within_the_lease);

/// As many keys leave them that wait with one message in flight each.
async fn thousands_of_gaps_are_taken_over_within_the_lease<S: Shop>() {
    let shop = S::open().await;
    shop.numbered("t", 1..=20_000).await;
    let to = MemoryTransport::new();
    shop.relay("a", &to).until_drained(SOON).await.unwrap();
    assert_eq!(tags(&to).len(), 20_000);
    let postgres = shop.migrations()[0].contains("timestamptz");
    let gaps = if postgres {
        "select range_agg(int8range(seq, seq, '[]')) from outbox_message where seq % 4 = 2"
    } else {
        "select json_group_array(json_array(seq, seq)) from outbox_message where seq % 4 = 2"
    };
    shop.run(&format!("update outbox_relay set floor = 0, unsettled = ({gaps})")).await;
    assert_eq!(shop.relay("a", &to).until_drained(SOON).await.unwrap(), 5_000);
    let expected: Vec<String> = (1..=20_000).filter(|n| n % 4 == 2).map(|n: i64| n.to_string()).collect();
    assert_eq!(tags(&to), expected);
}
