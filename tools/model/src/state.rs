//! The state: transactions, messages, the tables, two relay processes, the broker. Seqs and messages are numbered from
//! 0, transaction ids from 1, one bit each. A position or a floor is the number of seqs up to it.

use crate::config::Budget;

/// Most messages (and seqs) that any run has.
pub(crate) const MAX: usize = 4;
/// Relay processes.
pub(crate) const RELAYS: usize = 2;
/// A set of seqs, of messages, or of transaction ids.
pub(crate) type Bits = u8;
/// No transaction writes to the table.
pub(crate) const NO_WRITER: u8 = u8::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) enum End {
    #[default]
    Open,
    Committed,
    Aborted,
    /// Committed, then lost by the database.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Writer {
    /// 0 = none (not yet, or ended). Who has one holds the table's write lock.
    pub(crate) xid: u8,
    /// Holds the row lock of its key.
    pub(crate) locked: bool,
    /// Seqs drawn.
    pub(crate) drawn: u8,
    pub(crate) end: End,
}

/// One message: whose, and the columns of its row in `outbox_message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Message {
    /// From 1; 0 = none.
    pub(crate) writer: u8,
    pub(crate) seq: u8,
    pub(crate) xid: u8,
}

/// `outbox_relay` (epoch and cursor), `outbox_parked`, `outbox_dead_letter`, and which message rows retention deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Db {
    pub(crate) epoch: u8,
    pub(crate) position: u8,
    pub(crate) floor: u8,
    /// The transaction ids that the stored snapshot sees.
    pub(crate) snapshot: Bits,
    pub(crate) unsettled: Bits,
    pub(crate) parked: Bits,
    pub(crate) dead: Bits,
    pub(crate) deleted: Bits,
}

/// The write-ahead log as far as it has reached the disk (a crash), the standby (a failover) or a dump (a restore).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Durable {
    pub(crate) db: Db,
    /// Messages whose commit is in it.
    pub(crate) committed: Bits,
    pub(crate) seqs: u8,
    pub(crate) next_xid: u8,
    pub(crate) token: u8,
}

/// What a relay knows of one seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) enum Known {
    #[default]
    Unseen,
    /// Skipped by a read.
    Hole,
    /// Handed out, not yet sent.
    Ready,
    /// The publish is on its way.
    Sent,
    /// Stored by the broker, the answer is on its way.
    Stored,
    /// Failed before and waits for its next attempt, or waits behind one that does.
    Parked,
    /// Given up, not yet in the dead letters.
    Dead,
    /// Acknowledged, not yet settled.
    Delivered,
    /// Settled, or a hole that died.
    Settled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) enum Phase {
    #[default]
    None,
    Sent,
    Done,
    LeaseLost,
}

/// One settle statement, from sending to reply: the cursor and the settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Settle {
    pub(crate) phase: Phase,
    pub(crate) epoch: u8,
    pub(crate) token: u8,
    pub(crate) position: u8,
    pub(crate) floor: u8,
    pub(crate) snapshot: Bits,
    pub(crate) unsettled: Bits,
    pub(crate) parked: Bits,
    pub(crate) unparked: Bits,
    pub(crate) dead: Bits,
    /// Delivered or dead: becomes settled in memory when the reply comes.
    pub(crate) ended: Bits,
}

/// What a fetch or a takeover scan returned: header, probed holes, range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Fetched {
    pub(crate) open: bool,
    /// No header: epoch or token are another's.
    pub(crate) lease_lost: bool,
    /// It probed every live hole.
    pub(crate) all_holes: bool,
    /// Number of seqs below the end of what was looked at for holes.
    pub(crate) looked_at: u8,
    pub(crate) snapshot: Bits,
    pub(crate) xmin: u8,
    pub(crate) next_xid: u8,
    /// The oldest transaction that wrote to the table, listed before the fetch; 0 = not asked.
    pub(crate) oldest_writer: u8,
    /// The read position afterwards.
    pub(crate) read: u8,
    /// Message (from 1) of each seq that was returned.
    pub(crate) row: [u8; MAX],
    /// Rows of a scan that are settled.
    pub(crate) settled: Bits,
}

/// A relay process: the memory of one lease (`Log` and `Machine`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Relay {
    pub(crate) active: bool,
    /// Past its lease by its own clock: publishes no more.
    pub(crate) expired: bool,
    pub(crate) epoch: u8,
    pub(crate) token: u8,
    /// The takeover scan is done.
    pub(crate) scanned: bool,
    /// Number of seqs that the range has passed.
    pub(crate) read: u8,
    /// The position found at takeover.
    pub(crate) found: u8,
    /// The floor found at takeover, until the scan is done.
    pub(crate) found_floor: u8,
    /// What was found unsettled at takeover, as far as it was not read yet.
    pub(crate) found_unsettled: Bits,
    /// The snapshot to store, and whether it is one of its own.
    pub(crate) snapshot: Bits,
    pub(crate) own: bool,
    pub(crate) known: [Known; MAX],
    /// Message (from 1) read at each seq.
    pub(crate) msg: [u8; MAX],
    /// Fence of each hole.
    pub(crate) fence: [u8; MAX],
    /// The oldest writer as listed for the next fetch; 0 = not asked.
    pub(crate) oldest_writer: u8,
    /// First seq of the latest range (mutant).
    pub(crate) batch: u8,
    /// Next transaction id as seen by an earlier statement (mutant).
    pub(crate) early: u8,
    /// Failed, or behind a failed one: parked from the next settle on.
    pub(crate) parking: Bits,
    /// Confirmed to be in `outbox_parked`.
    pub(crate) in_parked: Bits,
    /// Wait for a fetch that probes every hole.
    pub(crate) held: Bits,
    /// Delivered, but never taken out of `unsettled` (see `Config::unparked_settles`).
    pub(crate) stuck: Bits,
    pub(crate) fetched: Fetched,
    pub(crate) settle: Settle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) writers: [Writer; MAX],
    pub(crate) msg: [Message; MAX],
    /// Seqs drawn in the present history of the database.
    pub(crate) seqs: u8,
    pub(crate) next_xid: u8,
    /// Latest transaction id that ended; kept only where a mutant asks for it.
    pub(crate) latest: u8,
    pub(crate) db: Db,
    /// `outbox_incarnation`; 0 = no valid token.
    pub(crate) token: u8,
    /// Tokens given out so far.
    pub(crate) tokens: u8,
    /// Epoch and token of the latest lease, also if the database has lost it.
    pub(crate) lease: (u8, u8),
    /// `expires_at` may be earlier than the holder believes: the database has lost its latest renewals.
    pub(crate) rolled_back: bool,
    /// A standby waited a full lease without a token, and has not looked since.
    pub(crate) waited: bool,
    /// A reset took the lease from a holder that does not know.
    pub(crate) reset: bool,
    pub(crate) durable: Durable,
    pub(crate) relays: [Relay; RELAYS],
    /// A settle whose sender lost the reply.
    pub(crate) orphan: Settle,
    /// Messages that the broker has stored at least once.
    pub(crate) broker: Bits,
    /// Requests given up by their sender that may still arrive.
    pub(crate) late: Bits,
    pub(crate) budget: Budget,
    /// Handed out and not durably settled when a fault struck: only these may be stored twice.
    pub(crate) exposed: Bits,
    /// Messages whose dead letter the database has lost, or a reset overrides.
    pub(crate) undead: Bits,
    pub(crate) inverted: bool,
    pub(crate) bad_duplicate: bool,
    pub(crate) zombie_wrote: bool,
    pub(crate) zombie_published: bool,
}

pub(crate) fn bit(m: usize) -> Bits {
    1 << m
}

pub(crate) fn has(set: Bits, m: usize) -> bool {
    set & bit(m) != 0
}

/// The first `n`.
pub(crate) fn below(n: u8) -> Bits {
    ((1u16 << n) - 1) as Bits
}

/// Those of 0 to `n` - 1 that pass.
pub(crate) fn set(n: usize, pass: impl Fn(usize) -> bool) -> Bits {
    (0..n).filter(|&m| pass(m)).fold(0, |b, m| b | bit(m))
}

pub(crate) fn in_flight(known: Known) -> bool {
    matches!(known, Known::Sent | Known::Stored)
}
