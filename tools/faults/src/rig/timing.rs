use std::time::Duration;

/// The numbers that relays and verdicts share.
#[derive(Debug, Clone, Copy)]
pub struct Timing;

impl Timing {
    /// Of the relays.
    pub const LEASE: Duration = Duration::from_secs(3);
    /// Of the relays.
    pub const PUBLISH_DEADLINE: Duration = Duration::from_secs(1);
    /// Messages handed out and not settled: what a fault may send twice.
    pub const WINDOW: usize = 200;
    /// Messages of a publish.
    pub const BATCH: usize = 50;
    /// Of a process that is stopped, of a clock that stands still.
    pub(crate) const PAST_THE_LEASE: Duration = Duration::from_secs(5);

    /// The longest time from the end of a fault, or from the death of a process, to the acknowledgement of a message
    /// written after it.
    pub const RECOVERY: Duration = Self::LEASE.saturating_add(Duration::from_secs(2));
}
