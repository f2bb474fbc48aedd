use std::time::Duration;

use outbox::{OnExhausted, OnFailure, RetryPolicy};
use serde::Deserialize;

/// What becomes of messages that their broker fails. What is left out is as the library has it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryConfig {
    /// Of which event types; of `retry_for` only.
    pub(crate) event_types: Option<Vec<String>>,
    max_attempts: Option<u32>,
    first_wait_ms: Option<u64>,
    max_wait_ms: Option<u64>,
    on_failure: Option<Failure>,
    on_exhausted: Option<Exhausted>,
    time_to_live_seconds: Option<u64>,
    publish_deadline_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Failure {
    HoldKey,
    PassBy,
    SkipSuperseded,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Exhausted {
    DeadLetter,
    BlockKey,
}

impl RetryConfig {
    pub(crate) fn policy(&self) -> RetryPolicy {
        let mut policy = RetryPolicy::new();
        if let Some(attempts) = self.max_attempts {
            policy = policy.max_attempts(attempts);
        }
        if self.first_wait_ms.is_some() || self.max_wait_ms.is_some() {
            let (first, max) = (self.first_wait_ms.unwrap_or(1_000), self.max_wait_ms.unwrap_or(300_000));
            policy = policy.backoff(Duration::from_millis(first), Duration::from_millis(max));
        }
        if let Some(failure) = self.on_failure {
            policy = policy.on_failure(match failure {
                Failure::HoldKey => OnFailure::HoldKey,
                Failure::PassBy => OnFailure::PassBy,
                Failure::SkipSuperseded => OnFailure::SkipSuperseded,
            });
        }
        if let Some(exhausted) = self.on_exhausted {
            policy = policy.on_exhausted(match exhausted {
                Exhausted::DeadLetter => OnExhausted::DeadLetter,
                Exhausted::BlockKey => OnExhausted::BlockKey,
            });
        }
        if let Some(seconds) = self.time_to_live_seconds {
            policy = policy.time_to_live(Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.publish_deadline_seconds {
            policy = policy.publish_deadline(Duration::from_secs(seconds));
        }
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reaches_the_policy() {
        let text = r#"
            event_types = ["price.*"]
            max_attempts = 3
            first_wait_ms = 10
            max_wait_ms = 20
            on_failure = "skip_superseded"
            on_exhausted = "block_key"
            time_to_live_seconds = 60
            publish_deadline_seconds = 5
        "#;
        let config: RetryConfig = toml::from_str(text).expect("valid");
        let wanted = RetryPolicy::new()
            .max_attempts(3)
            .backoff(Duration::from_millis(10), Duration::from_millis(20))
            .on_failure(OnFailure::SkipSuperseded)
            .on_exhausted(OnExhausted::BlockKey)
            .time_to_live(Duration::from_secs(60))
            .publish_deadline(Duration::from_secs(5));
        assert_eq!((config.policy(), config.event_types.as_deref()), (wanted, Some(&["price.*".to_owned()][..])));
        assert_eq!(RetryConfig::default().policy(), RetryPolicy::new());
        assert!(toml::from_str::<RetryConfig>("on_failure = \"ignore\"").is_err());
    }
}
