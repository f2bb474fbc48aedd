//! The deterministic simulation: the relay of `outbox-core`, as it is shipped, over a simulated database, broker,
//! network and clock. One seed is one history.
//!
//! A [`Plan`] is drawn from the seed before anything runs: settings, the applications' transactions, faults. [`run`]
//! plays it and says which promises were broken; [`shrink`] takes out of the plan what a violation does not need. A
//! [`Mutant`] leaves one rule of the protocol out, to show that the simulation would notice.
//!
//! What is checked, while a history runs and at its end:
//! - `G1 atomic`: only committed messages are stored.
//! - `G2 at least once`: every committed message is stored or a dead letter, except those that a failover lost.
//! - `G3 order`: first occurrences follow the order of the enqueues, where one began after the other committed. A
//!   message whose dead letter was lost by a failover is exempt: nothing can keep its place.
//! - `G4 duplicates`: a message of which the relay knows that it is delivered is sent again only after a takeover that
//!   a fault explains, and only if its settlement was not on record then.
//! - `G5 outages`: no attempt is recorded that was not the message's own failure; a missing topic is none. Of a topic
//!   that a relay knows to be missing it hands over one message at a time.
//! - `G6 fencing`: no statement of an old lease changes a row, and no publish starts after another's takeover.
//! - `G7 poison`: only messages that fail by themselves become dead letters.
//! - `G8 shutdown`: a clean shutdown frees the lease, in bounded time, and its successor sends nothing twice.
//! - `window`: what is handed out and not settled is bounded. `drains`: after the last fault everything is delivered
//!   within bounded time. `runs on`: no fault stops a relay for good.
//!
//! Not held against the protocol, because it cannot or does not yet do better:
//! - A failover that loses a dead letter may deliver that message after what waited behind it.
//! - A failover that loses the very first acquisition of a name: for a name that was never held nobody waits.
//! - Until a fetch that was cut short inside the holes is followed by a whole one and its settlement, the cursor takes
//!   what was delivered of them for unsettled: also a clean shutdown repeats it then.
//!
//! A network duplicates nothing here, as none of its connections does; nor does the database live on beside a standby
//! that was promoted.

mod book;
mod broker;
mod calm;
mod db;
mod destinations;
mod faults;
mod gate;
mod generate;
mod history;
mod mutants;
mod network;
mod plan;
mod process;
mod random;
mod run;
mod shrink;
mod store;
mod transport;
mod verdict;
mod world;
mod writer;

pub use book::Violation;
pub use history::History;
pub use mutants::Mutant;
pub use plan::Plan;
pub use run::{Report, run};
pub use shrink::shrink;
