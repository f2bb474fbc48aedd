//! The protocol, broken on purpose in one place at a time.

/// One rule of the protocol left out. The simulation must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The fence of a hole is a transaction id read by an earlier statement.
    FenceBeforeRead,
    /// The fence of a hole is the snapshot's own xmax.
    FenceXmax,
    /// Only the first hole is asked for, and the snapshot advances all the same.
    HolesUnprobed,
    /// A fetch cut short inside the holes passes for a whole one.
    CutIgnored,
    /// Numbers that were skipped are never asked for.
    NoHoles,
    /// The list of writers is read after the fetch.
    WritersAfterFetch,
    /// Writers draw their number before they own a transaction id.
    XidAfterSeq,
    /// The cursor is stored without what is handed out and not settled.
    UnsettledForgotten,
    /// The cursor is stored with its floor at the position.
    FloorAtPosition,
    /// A takeover takes everything up to the position for settled that is not listed as unsettled.
    SnapshotIgnored,
    /// A takeover reads the first few messages, and forgets the rest.
    ScanInPieces,
    /// A takeover hands out parked messages too.
    ScanParked,
    /// Statements check the epoch and not the token.
    TokenUnchecked,
    /// Settlements check neither epoch nor token.
    SettleUnfenced,
    /// Fetches check neither epoch nor token.
    FetchUnfenced,
    /// A lease is taken although it has not expired.
    ExpiryIgnored,
    /// After a crash of the server nobody waits for a full lease.
    NoLeaseWait,
    /// The log of the lost lease is used on under the next one.
    MemoryKept,
    /// What is parked is not told at a takeover.
    ParkedForgotten,
    /// What is parked is told without its key.
    ParkedKeyForgotten,
    /// What waits for a missing topic is told without its key.
    HeldKeyForgotten,
    /// What is read again has another topic, so that nobody knows that it is missing.
    TopicForgotten,
    /// Where many of a key may be in flight, the broker stores what comes behind a message whose topic is missing.
    DestinationOvertaken,
    /// Many of a key are handed to a broker that stores later ones where an earlier one failed.
    TwoInFlight,
    /// Messages are called delivered when they are sent.
    SettleBeforeAck,
    /// A settlement with dead letters is confirmed before it was carried out.
    DeadLetterEarly,
    /// A settlement with dead letters is not waited for.
    DeadLetterAsync,
    /// A settlement whose answer got lost passes for confirmed.
    LostAnswerIgnored,
    /// The lease is kept at a shutdown.
    NoRelease,
    /// Retention deletes everything up to the position.
    RetentionByPosition,
}

impl Mutant {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::FenceBeforeRead,
        Self::FenceXmax,
        Self::HolesUnprobed,
        Self::CutIgnored,
        Self::NoHoles,
        Self::WritersAfterFetch,
        Self::XidAfterSeq,
        Self::UnsettledForgotten,
        Self::FloorAtPosition,
        Self::SnapshotIgnored,
        Self::ScanInPieces,
        Self::ScanParked,
        Self::TokenUnchecked,
        Self::SettleUnfenced,
        Self::FetchUnfenced,
        Self::ExpiryIgnored,
        Self::NoLeaseWait,
        Self::MemoryKept,
        Self::ParkedForgotten,
        Self::ParkedKeyForgotten,
        Self::HeldKeyForgotten,
        Self::TopicForgotten,
        Self::DestinationOvertaken,
        Self::TwoInFlight,
        Self::SettleBeforeAck,
        Self::DeadLetterEarly,
        Self::DeadLetterAsync,
        Self::LostAnswerIgnored,
        Self::NoRelease,
        Self::RetentionByPosition,
    ];

    /// The name by which it is chosen: `FenceXmax` is `fence-xmax`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for c in format!("{self:?}").chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// The mutant of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|m| m.name() == name)
    }
}
