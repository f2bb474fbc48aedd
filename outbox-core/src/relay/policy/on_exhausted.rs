/// What becomes of a message that has no attempt left, or that its broker can never take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnExhausted {
    /// A dead letter: kept with its reason, and the key goes on.
    #[default]
    DeadLetter,
    /// It stays, untried, and its key waits behind it, over restarts too, until somebody gives it new attempts or
    /// discards it. For keys of which nothing may be missing. Bounded by
    /// [`max_parked`](crate::RelayBuilder::max_parked).
    BlockKey,
}
