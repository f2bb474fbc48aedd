#![doc = include_str!("../../../README.md")]

/// The guide's page on brokers.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/brokers.md")]
mod brokers {}
