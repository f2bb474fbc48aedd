/// One deliberate error. `None` is the protocol as described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    None,
    /// Fence of a hole = xmax of the snapshot that skipped it.
    FenceXmax,
    /// Fence = the next transaction id as an earlier statement saw it.
    FenceEarly,
    /// The writer draws its seq first and its transaction id later.
    XidAfterSeq,
    /// `seq > last` without holes.
    NaiveCursor,
    /// The snapshot of every fetch is stored, whether it probed every hole or not.
    SnapshotUnprobed,
    /// Where the limit cuts inside the holes, the holes above die too.
    CutIgnored,
    /// settled <=> seq <= position and not in unsettled.
    NoSnapshot,
    /// `unsettled` is not stored.
    NoUnsettled,
    /// Only what the latest fetch handed out is stored as unsettled.
    UnsettledLastBatch,
    /// While a takeover still reads up to the position it found, it stores only its own unsettled messages.
    UnsettledForgotten,
    /// floor = position.
    FloorAtPosition,
    /// A takeover reads above the position only.
    ScanAbovePosition,
    /// Neither settle nor fetch look at the epoch.
    NoEpochCheck,
    /// Neither settle nor fetch look at the token.
    NoTokenCheck,
    /// A fetch looks at neither epoch nor token.
    FetchUnchecked,
    /// A fetch looks at the epoch only.
    FetchNoToken,
    /// A settle is fenced, but its parked rows are inserted whatever the fence says.
    ParkOutsideFence,
    /// The writers are listed before the read that skips.
    WritersBeforeRead,
    /// The writers are listed after the snapshot that lacks the row.
    WritersAfterFetch,
    /// Retention deletes up to the position.
    RetentionByPosition,
    /// Retention ignores the snapshot.
    RetentionNoSnapshot,
    /// Retention ignores what is parked.
    RetentionParked,
    /// After a takeover parked messages are retried, but their keys are not held.
    ParkedKeyForgotten,
    /// The next message of a key is sent before the one before was acknowledged.
    TwoInFlight,
    /// Messages behind a failed one of their key are not held.
    FailedKeyNotHeld,
}
