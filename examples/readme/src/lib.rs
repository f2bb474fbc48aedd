#![doc = include_str!("../../../README.md")]

#[doc = include_str!("../../../docs/guide/scheduled.md")]
pub mod scheduled {}

#[doc = include_str!("../../../docs/guide/inbox.md")]
pub mod inbox {}
