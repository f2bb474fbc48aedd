use std::future::Future;
use std::time::Duration;

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(20);

/// Waits until `check` holds; panics with `what` if it does not within that time. For what no event announces.
///
/// A check that hangs (a server that is paused) is given up at the end of that time too.
#[track_caller]
pub fn eventually<F, Fut>(what: &str, within: Duration, mut check: F) -> impl Future<Output = ()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let asked_at = std::panic::Location::caller();
    async move {
        let holds = async {
            while !check().await {
                tokio::time::sleep(STEP).await;
            }
        };
        if tokio::time::timeout(within, holds).await.is_err() {
            panic!("{asked_at}: not within {within:?}: {what}");
        }
    }
}
