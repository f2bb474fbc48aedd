use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// How big the proofs are: `OUTBOX_TEST_STORES=full` for the long ones.
///
/// | | usual | full |
/// |---|---|---|
/// | messages of a stress run | 15,000 | 50,000 |
/// | runs in a row that must catch a planted bug | 1 | 5 |
/// | a foreign transaction stays open | 5 s | 60 s |
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Messages of a stress run, over all writers.
    pub messages: usize,
    /// Runs in a row that must catch a planted bug.
    pub repeats: usize,
    /// How long a foreign transaction stays open.
    pub foreign: Duration,
}

impl Size {
    /// As the environment wants it.
    ///
    /// # Panics
    /// For a value that is not `full`.
    #[must_use]
    pub fn of_environment() -> Self {
        match std::env::var("OUTBOX_TEST_STORES").as_deref() {
            Err(_) | Ok("") => Self { messages: 15_000, repeats: 1, foreign: Duration::from_secs(5) },
            Ok("full") => Self { messages: 50_000, repeats: 5, foreign: Duration::from_secs(60) },
            Ok(other) => panic!("OUTBOX_TEST_STORES is {other:?}: leave it out, or set it to `full`"),
        }
    }
}

/// One heavy run at a time in a process: they would only make each other slow, and the figures mean less.
pub async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
