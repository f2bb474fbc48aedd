use std::time::Duration;

use crate::Limits;

/// How a transport keeps the order within a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum KeyOrder {
    /// The relay hands over the next message of a key when the one before was delivered.
    #[default]
    OneInFlight,
    /// Many of a key may be in flight: if one was not stored, no later one of its key is.
    Gapless,
}

/// What a transport can do, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportCapabilities {
    /// How the order within a key is kept. Default: [`KeyOrder::OneInFlight`].
    pub key_order: KeyOrder,
    /// What a message may be. Default: [`Limits::DEFAULT`].
    pub limits: Limits,
    /// How long the broker itself drops duplicates by message id. Default: not at all.
    pub dedup_window: Option<Duration>,
    /// How many publishes the relay may have under way at once, beside what its window allows. Default: 8.
    pub publishes: usize,
}

/// Publishes under way at once, where a transport does not say otherwise.
pub(crate) const PUBLISHES: usize = 8;

impl TransportCapabilities {
    /// One in flight per key, the default limits, no deduplication, 8 publishes at once.
    pub const fn new() -> Self {
        Self { key_order: KeyOrder::OneInFlight, limits: Limits::DEFAULT, dedup_window: None, publishes: PUBLISHES }
    }

    /// How the order within a key is kept.
    #[must_use]
    pub const fn key_order(mut self, order: KeyOrder) -> Self {
        self.key_order = order;
        self
    }

    /// What a message may be.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The largest payload, in bytes.
    #[must_use]
    pub const fn max_payload(mut self, bytes: usize) -> Self {
        self.limits.payload = bytes;
        self
    }

    /// How long the broker drops duplicates by message id.
    #[must_use]
    pub const fn dedup_window(mut self, window: Duration) -> Self {
        self.dedup_window = Some(window);
        self
    }

    /// How many publishes it takes to keep the broker busy; 0 counts as 1. For a client that spreads each batch over
    /// many connections or partitions; one that has a slow broker in front of it wants fewer.
    #[must_use]
    pub const fn publishes(mut self, most: usize) -> Self {
        self.publishes = most;
        self
    }
}

impl Default for TransportCapabilities {
    fn default() -> Self {
        Self::new()
    }
}
