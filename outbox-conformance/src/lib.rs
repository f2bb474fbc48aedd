//! Conformance suites for stores and transports of the transactional outbox, and the delivery ledger.
//!
//! [`store_suite!`] and [`transport_suite!`] make a named test for every clause of the traits' contracts, from a
//! harness that the implementor writes: see [`store`] and [`transport`]. The suites are tested themselves, with broken
//! stores and transports that each fail exactly one clause.
//!
//! A [`Ledger`] is told what was committed and what was received, and answers with a [`Verdict`] on the promises of
//! `outbox-core`:
//!
//! | promise | broken when | field of the verdict |
//! |---|---|---|
//! | G1 atomic | a message arrives that no transaction committed | [`Verdict::invented`] |
//! | G1, G2 | a message arrives with another payload or key | [`Verdict::corrupted`] |
//! | G2 at least once | a committed message neither arrives nor is a dead letter | [`Verdict::lost`] |
//! | G3 order per key | a first occurrence comes after a later message of its key | [`Verdict::inversions`] |
//! | G4 bounded duplicates | more extra copies than the test's faults allow | [`Verdict::duplicates`] |
//!
//! ```
//! use outbox_conformance::{Expected, Ledger};
//!
//! let ledger = Ledger::new();
//! ledger.committed(&Expected::new("m1", b"first").key("k").order(1));
//! ledger.committed(&Expected::new("m2", b"second").key("k").order(2));
//! ledger.received("m1", Some("k"), b"first");
//! ledger.received("m2", Some("k"), b"second");
//! ledger.check().assert_clean(0);
//! ```

mod expected;
mod ledger;
pub mod store;
mod suite;
pub mod transport;
mod verdict;

pub use expected::Expected;
pub use ledger::Ledger;
pub use suite::{Case, Outcome, Passed, Seen};
pub use verdict::{Inversion, Verdict};
