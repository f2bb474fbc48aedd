//! What a failure does to the later messages of its key.

use outbox_core::memory::MemoryStore;
use outbox_core::{OnFailure, Relay, RelayEvent, RetryPolicy};

use crate::broker::{BOTH, Broker, SECOND, Say, enqueue};

const LONG: std::time::Duration = SECOND;

fn policy(on_failure: OnFailure) -> RetryPolicy {
    RetryPolicy::new().max_attempts(4).backoff(SECOND, SECOND * 4).on_failure(on_failure)
}

fn failing(text: &'static str, attempts: u32) -> impl Fn(&outbox_core::MessageRef<'_>, u32) -> Say {
    move |m, attempt| match m.payload() == text.as_bytes() && attempt <= attempts {
        true => Say::Nothing,
        false => Say::Yes,
    }
}

/// Others show that the broker is there.
const FOUR: [&str; 4] = ["t e k 1", "t e k 2", "t e k 3", "t e other o"];

#[tokio::test(start_paused = true)]
async fn a_key_waits_for_its_failed_message() {
    for order in BOTH {
        let (store, broker) = (MemoryStore::new(), Broker::new(order, failing("1", 2)));
        enqueue(&store, FOUR);
        let relay = broker.relay(&store).retry_policy(policy(OnFailure::HoldKey)).build().expect("valid settings");
        relay.until_drained(LONG * 3_600).await.expect("drained");
        assert_eq!(broker.stored(), ["o", "1", "2", "3"], "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_goes_on_without_a_message_that_is_passed_by() {
    for order in BOTH {
        let (store, broker) = (MemoryStore::new(), Broker::new(order, failing("1", 2)));
        enqueue(&store, FOUR);
        let relay = broker.relay(&store).retry_policy(policy(OnFailure::PassBy)).build().expect("valid settings");
        relay.until_drained(LONG * 3_600).await.expect("drained");
        let stored = broker.stored();
        assert_eq!((stored.len(), stored.last().map(String::as_str)), (4, Some("1")), "{order:?}: {stored:?}");
        assert_eq!(broker.attempts("1"), 3);
        let place = |text| stored.iter().position(|s| s == text);
        assert!(place("2") < place("3"), "the others keep their order: {stored:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_event_types_that_say_so_are_passed_by() {
    for order in BOTH {
        let script = |m: &outbox_core::MessageRef<'_>, attempt| match m.payload() {
            b"1" | b"5" if attempt < 3 => Say::Nothing,
            _ => Say::Yes,
        };
        let (store, broker) = (MemoryStore::new(), Broker::new(order, script));
        enqueue(&store, ["t loose.a a 1", "t strict a 2", "t strict b 5", "t loose.a b 6", "t e other o"]);
        let relay = broker.relay(&store).retry_policy_for(["loose.*"], policy(OnFailure::PassBy));
        relay.build().expect("valid settings").until_drained(LONG * 3_600).await.expect("drained");
        let stored = broker.stored();
        let place = |text| stored.iter().position(|s| s == text).expect("stored");
        assert_eq!(stored.len(), 5);
        assert!(place("2") < place("1"), "{order:?}: {stored:?}");
        assert!(place("5") < place("6"), "{order:?}: {stored:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_that_a_newer_one_makes_worthless_is_skipped_and_kept_as_a_dead_letter() {
    for order in BOTH {
        let (store, broker) = (MemoryStore::new(), Broker::new(order, failing("1", 99)));
        enqueue(&store, FOUR);
        let relay = broker.relay(&store).retry_policy(policy(OnFailure::SkipSuperseded));
        relay.build().expect("valid settings").until_drained(LONG * 3_600).await.expect("drained");
        assert_eq!(broker.stored(), ["o", "2", "3"], "{order:?}");
        assert_eq!(broker.attempts("1"), 1);
        let dead = store.dead_letters("test");
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].1, "superseded by a newer message of its key: no answer");
        let born = broker.events().into_iter().filter(|e| matches!(e, RelayEvent::DeadLetter { .. })).count();
        assert_eq!(born, 1, "and told once");
    }
}

#[tokio::test(start_paused = true)]
async fn the_newest_of_a_key_is_tried_as_often_as_others() {
    for order in BOTH {
        let (store, broker) = (MemoryStore::new(), Broker::new(order, failing("3", 3)));
        enqueue(&store, FOUR);
        let relay = broker.relay(&store).retry_policy(policy(OnFailure::SkipSuperseded));
        relay.build().expect("valid settings").until_drained(LONG * 3_600).await.expect("drained");
        assert_eq!((broker.stored().len(), broker.attempts("3")), (4, 4), "{order:?}");
        assert_eq!(store.dead_letters("test").len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_alone_keeps_the_reason_that_was_given() {
    for order in BOTH {
        let script = |m: &outbox_core::MessageRef<'_>, _| if m.key() == Some("k") { Say::Nothing } else { Say::Yes };
        let (store, broker) = (MemoryStore::new(), Broker::new(order, script));
        enqueue(&store, FOUR);
        let relay = broker.relay(&store).max_attempts(1).build().expect("valid settings");
        let running = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        // What waited behind the first one is tried alone, which might be an outage, until another key goes through.
        for _ in 0..600 {
            enqueue(&store, ["t e other o"]);
            tokio::time::sleep(SECOND).await;
        }
        running.abort();
        let reasons: Vec<String> = store.dead_letters("test").into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, ["no answer"; 3], "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_gets_no_answer_in_a_quiet_lane_has_failed_when_others_go_through_each_time() {
    for order in BOTH {
        let script = |m: &outbox_core::MessageRef<'_>, _| if m.key() == Some("k") { Say::Nothing } else { Say::Yes };
        let (store, broker) = (MemoryStore::new(), Broker::new(order, script));
        let relay = broker.relay(&store).max_attempts(2).build().expect("valid settings");
        let running = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        enqueue(&store, ["t e k 1"]);
        tokio::time::sleep(SECOND * 600).await;
        assert!(broker.attempts("1") > 10, "{order:?}");
        assert_eq!(store.dead_letters("test").len(), 0, "alone it is an outage, however long");
        for _ in 0..600 {
            enqueue(&store, ["t e other o"]);
            tokio::time::sleep(SECOND).await;
        }
        running.abort();
        assert_eq!(store.dead_letters("test").len(), 1, "{order:?}");
        assert_eq!(broker.stored().len(), 600, "{order:?}");
    }
}
