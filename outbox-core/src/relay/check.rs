//! What is looked at before messages are lost time to it: the broker's own settings, and whether they fit the relay's.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use super::observer::RelayEvent;
use super::policy::Policy;
use super::store_relay::Inner;
use crate::{BoxError, Finding};

/// What came of the question so far; kept as long as the relay.
#[derive(Debug, Default)]
pub(super) struct Checked(Mutex<Asked>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    NotYet,
    /// And the session may have ended before the answer.
    Asking,
    /// The broker could not be asked: again when it is back.
    InVain,
    Answered,
}

/// The check of one session, beside its work. Dropping it ends it.
pub(super) struct Check<'a> {
    shared: &'a Inner,
    running: JoinSet<Result<Vec<Finding>, BoxError>>,
    /// The broker came back meanwhile.
    recovered: bool,
}

impl<'a> Check<'a> {
    /// Asks where nobody did before.
    pub(super) fn begin(shared: &'a Inner) -> Self {
        let mut check = Self { shared, running: JoinSet::new(), recovered: false };
        let before = check.asked();
        if before == Asked::NotYet {
            let window = shared.transport.capabilities().dedup_window;
            dedup_window(window, &shared.policy).into_iter().for_each(|f| shared.tell(&RelayEvent::Finding(f)));
        }
        if matches!(before, Asked::NotYet | Asked::Asking) {
            check.ask();
        }
        check
    }

    /// The broker is back.
    pub(super) fn recovered(&mut self) {
        self.recovered = true;
        if self.running.is_empty() && self.asked() == Asked::InVain {
            self.ask();
        }
    }

    /// Completes when there is an answer, and for ever pending otherwise. Cancel safe.
    pub(super) async fn answer(&mut self) -> Answer {
        match self.running.join_next().await {
            Some(answer) => Answer(answer),
            None => std::future::pending().await,
        }
    }

    /// Tells what was found.
    pub(super) fn answered(&mut self, Answer(answer): Answer) {
        let relay = &self.shared.request.relay;
        let error = match answer {
            Ok(Ok(findings)) => {
                self.set(Asked::Answered);
                return findings.into_iter().for_each(|finding| self.shared.tell(&RelayEvent::Finding(finding)));
            }
            Ok(Err(e)) => crate::error::chain(&*e),
            Err(e) if e.is_panic() => "the transport panicked".into(),
            Err(e) => e.to_string(),
        };
        tracing::info!(relay, error, "whether the broker is ready could not be checked");
        self.set(Asked::InVain);
        if self.recovered {
            self.ask();
        }
    }

    fn ask(&mut self) {
        self.recovered = false;
        self.set(Asked::Asking);
        let (transport, deadline) = (self.shared.transport.clone(), self.shared.policy.publish_deadline);
        let topics: Vec<String> = self.shared.request.topics.exact().map(str::to_owned).collect();
        // A task of its own: whatever it does, publishes do not wait for it.
        self.running.spawn(async move {
            let late = |_| format!("no answer within {}", human(deadline));
            timeout(deadline, transport.check(&topics)).await.map_err(late)?
        });
    }

    fn asked(&self) -> Asked {
        *self.shared.checked.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, asked: Asked) {
        *self.shared.checked.0.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }
}

/// What came of one question.
pub(super) struct Answer(Result<Result<Vec<Finding>, BoxError>, JoinError>);

/// Whether the broker drops every duplicate that the relay may make by itself.
fn dedup_window(window: Option<Duration>, policy: &Policy) -> Option<Finding> {
    let (window, horizon) = (window?, policy.retry_horizon());
    if window >= horizon {
        return None;
    }
    let retry = policy.longest().0;
    let attempts = retry.max_attempts;
    let what = format!(
        "the broker drops duplicates for {}, and a message may be sent again up to {} after its first copy, which then \
         arrives twice (max_attempts {attempts}, retry {} to {}, publish deadline {}, lease {})",
        human(window),
        human(horizon),
        human(retry.backoff.first),
        human(retry.backoff.max),
        human(policy.longest_deadline()),
        human(policy.lease),
    );
    let minutes = Duration::from_secs(horizon.as_secs().saturating_add(60) / 60 * 60);
    let mut advice = format!("set the broker's deduplication window to {} or more where it can be set", human(minutes));
    let within = |attempts: &u32| policy.horizon(&retry.max_attempts(*attempts)) <= window;
    match (1..attempts).take_while(within).last() {
        Some(fits) => advice += &format!(", or max_attempts to {fits}"),
        None => advice += ", or lease and publish deadline lower",
    }
    advice += "; consumers that drop duplicates by message id need neither";
    Some(Finding::new(what, advice))
}

/// `16m 40s`, `2m`, `1h`, `250ms`.
fn human(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    let parts = [(seconds / 3_600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (millis.into(), "ms")];
    let shown: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if shown.is_empty() { "0s".into() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_window_shorter_than_the_retries_is_a_finding_with_both_figures_and_a_way_out() {
        let finding = dedup_window(Some(2 * MINUTE), &Policy::default()).expect("too short").to_string();
        let parts = ["for 2m,", "up to 11m 18s after", "max_attempts 10", "retry 1s to 5m", "publish deadline 10s"];
        for part in parts.into_iter().chain(["lease 30s", "to 12m or more", "max_attempts to 4;"]) {
            assert!(finding.contains(part), "{part:?} is not in {finding}");
        }
        let with = |attempts| {
            let mut policy = Policy::default();
            policy.rules.usual.max_attempts = attempts;
            policy
        };
        assert_eq!(dedup_window(Some(2 * MINUTE), &with(4)), None, "what it advises is enough");
        assert_eq!(dedup_window(Some(12 * MINUTE), &Policy::default()), None, "so is this");
        assert!(dedup_window(Some(2 * MINUTE), &with(5)).is_some(), "one more is not");
    }

    #[test]
    fn a_window_shorter_than_a_takeover_is_not_mended_by_fewer_attempts() {
        let finding = dedup_window(Some(MINUTE / 6), &Policy::default()).expect("too short");
        assert!(finding.advice().contains("lease and publish deadline lower"), "{finding}");
    }

    #[test]
    fn a_broker_that_drops_none_is_asked_for_nothing() {
        assert_eq!(dedup_window(None, &Policy::default()), None);
    }

    #[test]
    fn times_are_shown_as_people_write_them() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1_000_000, "16m 40s"),
            (120_000, "2m"),
            (3_600_000, "1h"),
            (61_500, "1m 1s 500ms"),
        ] {
            assert_eq!(human(Duration::from_millis(millis)), text);
        }
    }
}
