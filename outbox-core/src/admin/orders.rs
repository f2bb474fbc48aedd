use std::time::SystemTime;

/// What was decided at the desk about a relay: see [`Store::orders`](crate::Store::orders).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Orders {
    /// Rises with everything that is changed at the desk: what a relay remembers of its messages may be old then.
    pub revision: i64,
    /// It hands over nothing.
    pub paused: bool,
    /// Messages of these keys wait.
    pub paused_keys: Vec<String>,
}

/// A relay, or a key of it, that is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// The relay.
    pub relay: String,
    /// The key; none for all of the relay.
    pub key: Option<String>,
    /// Since when.
    pub since: SystemTime,
}
