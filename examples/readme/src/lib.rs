#![doc = include_str!("../../../README.md")]

/// The guide's page on brokers.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/brokers.md")]
mod brokers {}

/// The guide's page on failures.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/failures.md")]
mod failures {}

/// The guide's chapter on messages for later.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/scheduled.md")]
mod scheduled {}

/// The guide's chapter on the inbox.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/inbox.md")]
mod inbox {}

/// The guide's page on running it.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/operate.md")]
mod operate {}
