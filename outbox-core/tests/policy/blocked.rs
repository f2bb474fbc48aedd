//! A key of which nothing may be missing.

use outbox_core::memory::MemoryStore;
use outbox_core::{MessageRef, OnExhausted, Relay, RelayError, RelayEvent, RetryPolicy};

use crate::broker::{BOTH, Broker, SECOND, Say, enqueue};

const POLICY: RetryPolicy =
    RetryPolicy::new().max_attempts(3).backoff(SECOND, SECOND).on_exhausted(OnExhausted::BlockKey);

async fn blocks(script: impl Fn(&MessageRef<'_>, u32) -> Say + Send + Sync + Copy + 'static, attempts: u32) {
    for order in BOTH {
        let (store, broker) = (MemoryStore::new(), Broker::new(order, script));
        enqueue(&store, ["t e k 1", "t e k 2", "t e other o"]);
        let relay = broker.relay(&store).retry_policy(POLICY).build().expect("valid settings");
        // Others show that the broker is there, so that its silence is not taken for an outage.
        let drained = tokio::spawn({
            let relay = relay.clone();
            async move { relay.until_drained(SECOND * 3_600).await }
        });
        while relay.handle().stats().blocked == 0 {
            enqueue(&store, ["t e other o"]);
            tokio::time::sleep(SECOND / 4).await;
        }
        let left = drained.await.expect("no panic");
        assert!(matches!(left, Err(RelayError::TimedOut { parked: 2, .. })), "{order:?}: {left:?}");
        // One that nothing tells from an outage is not counted.
        assert!((attempts..=3 * attempts).contains(&broker.attempts("1")), "{order:?}: {}", broker.attempts("1"));
        assert_eq!(broker.attempts("2"), 0, "{order:?}");
        assert!(broker.stored().iter().all(|text| text == "o"));
        assert_eq!(store.dead_letters("test").len(), 0);
        let told = |e: &RelayEvent| matches!(e, RelayEvent::Blocked { key, .. } if key.as_deref() == Some("k"));
        assert_eq!(broker.events().iter().filter(|e| told(e)).count(), 1);
        // The next process finds it blocked, and others go on.
        enqueue(&store, ["t e fresh f", "t e k 3"]);
        let again = broker.relay(&store).retry_policy(POLICY).build().expect("valid settings");
        let left = again.until_drained(SECOND * 60).await;
        assert!(matches!(left, Err(RelayError::TimedOut { parked: 3, .. })), "{order:?}: {left:?}");
        assert_eq!((broker.attempts("2"), broker.attempts("3"), broker.attempts("f")), (0, 0, 1));
        assert_eq!(again.handle().stats().dead, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_attempts_stays_and_its_key_waits_over_restarts() {
    blocks(|m, _| if m.payload() == b"1" { Say::Nothing } else { Say::Yes }, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_never_taken_blocks_its_key_too() {
    let store = MemoryStore::new();
    let broker = Broker::new(BOTH[0], |m, _| if m.payload() == b"1" { Say::Never } else { Say::Yes });
    enqueue(&store, ["t e k 1", "t e k 2", "t e other o"]);
    let relay = broker.relay(&store).retry_policy(POLICY).build().expect("valid settings");
    let left = relay.until_drained(SECOND * 60).await;
    assert!(matches!(left, Err(RelayError::TimedOut { parked: 2, .. })), "{left:?}");
    assert_eq!((broker.attempts("1"), broker.stored()), (1, vec!["o".to_owned()]));
    assert_eq!(store.dead_letters("test").len(), 0);
}
