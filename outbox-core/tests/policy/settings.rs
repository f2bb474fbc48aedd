//! What cannot work is an error when the relay is built, and says why.

use outbox_core::memory::{MemoryStore, MemoryTransport};
use outbox_core::{OnExhausted, OnFailure, RelayBuilder, RetryPolicy, StoreRelay};

use crate::broker::SECOND;

fn told(set: impl FnOnce(RelayBuilder) -> RelayBuilder, parts: &[&str]) {
    let builder = StoreRelay::builder("test", MemoryStore::new(), MemoryTransport::new());
    let error = set(builder).build().expect_err("it cannot work").to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn contradictions_name_both_values() {
    told(|b| b.lease(SECOND * 15), &["lease is 15s", "publish deadline", "10s"]);
    told(|b| b.drain_deadline(SECOND * 5), &["drain deadline is 5s", "publish deadline", "10s"]);
    told(|b| b.window(100, 1 << 20), &["window is 100", "batch", "500"]);
    told(|b| b.window(1_000_001, 1 << 20), &["window is 1000001", "at most 1,000,000"]);
    let short = RetryPolicy::new().time_to_live(SECOND * 2).backoff(SECOND * 3, SECOND * 9);
    told(|b| b.retry_policy(short), &["time_to_live is 2s", "3s"]);
    told(|b| b.retry_policy_for(["e"], short), &["time_to_live is 2s", "3s"]);
    let slow = RetryPolicy::new().publish_deadline(SECOND * 20);
    told(|b| b.retry_policy_for(["e"], slow), &["lease is 30s", "publish deadline", "20s"]);
    told(|b| b.retry_policy_for(["e"], slow).lease(SECOND * 60).drain_deadline(SECOND), &["drain", "20s"]);
    let both = RetryPolicy::new().on_failure(OnFailure::PassBy).on_exhausted(OnExhausted::BlockKey);
    told(|b| b.retry_policy(both), &["on_exhausted is BlockKey", "on_failure PassBy"]);
}

#[test]
fn bounds_are_told() {
    told(|b| b.retry_policy(RetryPolicy::new().max_attempts(0)), &["max_attempts is 0", "1 to 1,000,000"]);
    told(|b| b.retry(SECOND, SECOND / 2), &["retries is 1s to 500ms", "maximum not below"]);
    told(|b| b.retry_policy(RetryPolicy::new().time_to_live(SECOND / 2)), &["time_to_live is 500ms", "1 s"]);
    told(|b| b.retry_policy_for(["a*b"], RetryPolicy::new()), &["retry_policy_for", "one *"]);
    told(|b| b.retry_policy_for(Vec::<String>::new(), RetryPolicy::new()), &["retry_policy_for", "event type"]);
    let none = RetryPolicy::new().publish_deadline(SECOND / 1_000);
    told(|b| b.retry_policy_for(["e"], none), &["publish deadline is 1ms", "10 ms"]);
    told(|b| b.max_parked(0), &["max_parked is 0", "1 to 100,000,000"]);
}
