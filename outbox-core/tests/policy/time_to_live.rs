//! Messages that are worth nothing after some time.

use outbox_core::memory::MemoryStore;
use outbox_core::{Relay, RelayEvent, RetryPolicy};
use tokio::time::Instant;

use crate::broker::{BOTH, Broker, SECOND, Say, enqueue, until};

fn policy() -> RetryPolicy {
    RetryPolicy::new().max_attempts(1_000).backoff(SECOND, SECOND).time_to_live(SECOND * 60)
}

#[tokio::test(start_paused = true)]
async fn what_grew_too_old_in_an_outage_is_given_up_untried_and_in_order() {
    for order in BOTH {
        let (store, begin) = (MemoryStore::new(), Instant::now());
        let broker =
            Broker::new(order, move |_, _| if begin.elapsed() < SECOND * 300 { Say::Nothing } else { Say::Yes });
        enqueue(&store, ["t quick k 1", "t quick k 2", "t slow k 3", "t slow other o"]);
        let relay = broker.relay(&store).retry_policy_for(["quick"], policy()).build().expect("valid settings");
        let task = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        tokio::time::sleep(SECOND * 30).await;
        assert_eq!(relay.handle().stats().dead, 0, "not before their time");
        enqueue(&store, ["t quick k 4"]);
        tokio::time::sleep(SECOND * 260).await;
        enqueue(&store, ["t quick k 5"]);
        until(|| broker.stored().len() == 3).await;
        assert_eq!(relay.handle().stats().failed, 0, "an outage costs no attempt");
        task.abort();
        let stored = broker.stored();
        let of_key: Vec<&str> = stored.iter().map(String::as_str).filter(|text| *text != "o").collect();
        assert_eq!(of_key, ["3", "5"], "{order:?}");
        let reasons: Vec<String> = store.dead_letters("test").into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons.len(), 3);
        assert!(
            reasons.iter().all(|r| r.starts_with("expired: ") && r.ends_with("time to live is 60s")),
            "{reasons:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_its_broker_fails_is_not_tried_beyond_its_time() {
    for order in BOTH {
        let (store, begin) = (MemoryStore::new(), Instant::now());
        let broker = Broker::new(order, |m, _| if m.payload() == b"1" { Say::Nothing } else { Say::Yes });
        enqueue(&store, ["t e k 1", "t e k 2", "t e other o"]);
        let relay = broker.relay(&store).retry_policy(policy()).build().expect("valid settings");
        let task = tokio::spawn({
            let relay = relay.clone();
            async move { relay.run(std::future::pending()).await }
        });
        // Others show that the broker is there.
        while relay.handle().stats().dead == 0 {
            enqueue(&store, ["t e other o"]);
            tokio::time::sleep(SECOND / 2).await;
        }
        let age = begin.elapsed();
        assert!(age >= SECOND * 60 && age < SECOND * 80, "{age:?}");
        let told = |e: RelayEvent| match e {
            RelayEvent::DeadLetter { reason, attempts, .. } => Some((reason, attempts)),
            _ => None,
        };
        until(|| broker.events().into_iter().any(|e| told(e).is_some())).await;
        task.abort();
        let (reason, attempts) = broker.events().into_iter().find_map(told).expect("told");
        assert!(reason.starts_with("expired: ") && attempts > 10, "{reason} after {attempts}");
    }
}
