/// What a failed message does to the later ones of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// They wait until it is delivered or given up on: the order of the key holds.
    #[default]
    HoldKey,
    /// They go on without it, and it comes later, in no order. For events that stand for themselves.
    PassBy,
    /// They wait, but as soon as one of them is there the failed message is given up on: it becomes a dead letter with
    /// this reason, and the next one has its turn. The order of the key holds. For events that carry the whole state of
    /// what the key names, where the newest makes the older ones worthless.
    SkipSuperseded,
}
