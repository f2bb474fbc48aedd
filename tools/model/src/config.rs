//! What one run explores: the writers, how many faults of each kind may strike, and which rules are kept.

use crate::mutant::Mutant;

/// One application transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriterConfig {
    /// Ordering key of its messages; 0 = no key.
    pub(crate) key: u8,
    /// Rows it inserts, each drawing its own seq. 0 = a foreign transaction that only owns a transaction id.
    pub(crate) rows: u8,
    /// Takes the row lock of its key before it draws a seq, and holds it until it ends.
    pub(crate) serial: bool,
    /// Begins only after a fault (keeps runs with many writers small).
    pub(crate) after: After,
    /// Always aborts.
    pub(crate) aborts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Start,
    /// The database crashed, failed over, or was restored.
    DatabaseFault,
    /// A relay crashed.
    Crash,
}

/// How many faults of each kind may strike, in any order and at any point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// The broker refuses and has not stored.
    pub(crate) refused: u8,
    /// The outcome is unknown: stored already, or stored later at any time, or never.
    pub(crate) unknown: u8,
    /// The message is given up: a dead letter.
    pub(crate) rejected: u8,
    /// A relay process dies. Its requests may still reach the broker later.
    pub(crate) crash: u8,
    /// A takeover although the old holder lives and knows nothing of it.
    pub(crate) zombie: u8,
    /// The database dies; see [`Config::failover`].
    pub(crate) database: u8,
    /// A dump taken at any earlier moment is restored into a cluster whose transaction ids begin anew.
    pub(crate) restore: u8,
    /// The relay loses the reply of a settle; the statement may run at once, much later, or never.
    pub(crate) lost_reply: u8,
    /// A clean shutdown: no fault, so nothing may be published twice because of it.
    pub(crate) release: u8,
    /// Somebody runs `outbox reset`.
    pub(crate) reset: u8,
}

/// The writers, the bounds, the rules and the mutation. The defaults are the protocol as it should be; where the code
/// of the project keeps less, `runs::shipped` says so.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) writers: Vec<WriterConfig>,
    /// Seqs that were drawn and rolled back before the run begins.
    pub(crate) gaps: u8,
    /// The run begins after a first lease: the first writer has committed two rows, one of them is delivered and
    /// settled, and nothing of it has reached the standby.
    pub(crate) unreplicated: bool,
    /// Rows of a fetch: holes first, then the range.
    pub(crate) limit: u8,
    pub(crate) budget: Budget,
    /// Retention may run at any time, and keeps nothing for its age: the most hostile setting.
    pub(crate) retention: bool,

    // --- what the environment does ---
    /// The database fails over to an asynchronous standby: any suffix of what was committed is lost. Otherwise it
    /// crashes, and only asynchronous commits are.
    pub(crate) failover: bool,
    /// The dump contains the token (`pg_dump` dumps unlogged tables by default), and it still counts.
    pub(crate) dump_has_token: bool,

    // --- choices of the implementation ---
    /// A fetch runs in the database and is noted by the relay in two steps; other events may come between.
    pub(crate) split_fetch: bool,
    /// A fetch may also leave the holes unprobed, and then the older snapshot stays.
    pub(crate) unprobed: bool,
    /// What an unprobed fetch returns waits until a fetch has probed every live hole.
    pub(crate) hold_unprobed: bool,
    /// The takeover scan returns all that is not settled up to the position in one statement.
    pub(crate) whole_scan: bool,
    /// Holes also die by the list of writers.
    pub(crate) ask_writers: bool,
    /// Every lease has a token of its own; otherwise a takeover keeps the token that it finds.
    pub(crate) token_per_lease: bool,
    /// The stored `unsettled` is one range, a superset (the code keeps 64).
    pub(crate) capped: bool,

    // --- rules (true = the rule is kept) ---
    /// A publish begins only if its deadline ends before the lease does; a takeover waits for the end of the lease.
    pub(crate) publish_deadline: bool,
    /// A takeover that finds no valid token waits a full lease from then on, whatever `expires_at` says.
    pub(crate) tokenless_waits: bool,
    /// That wait begins anew when the token was there in between, even unseen.
    pub(crate) wait_restarts: bool,
    /// It waits at epoch 0 too: the first lease ever may be what the database has lost.
    pub(crate) first_waits: bool,
    /// After a reset a takeover waits for the end of the old lease.
    pub(crate) reset_waits: bool,
    /// The takeover scan demands epoch and token.
    pub(crate) scan_fenced: bool,
    /// The takeover scan leaves out what is in `outbox_dead_letter`, whatever the snapshot says.
    pub(crate) scan_skips_dead: bool,
    /// What waits behind a dead letter goes only when the dead letter's settle is confirmed ...
    pub(crate) dead_holds_key: bool,
    /// ... and so does what was parked behind it.
    pub(crate) dead_holds_parked: bool,
    /// A settle with dead letters commits synchronously.
    pub(crate) dead_durable: bool,
    /// A message is declared dead only when no earlier attempt can arrive any more.
    pub(crate) dead_waits: bool,
    /// A dead letter is settled only together with a snapshot that sees its row.
    pub(crate) dead_seen: bool,
    /// A message that was parked and delivered between two settles leaves `unsettled` too.
    pub(crate) unparked_settles: bool,
    /// A relay that lost the reply of a settle drops its memory and acquires anew.
    pub(crate) lost_reply_restarts: bool,
    /// The takeover commits synchronously.
    pub(crate) acquire_durable: bool,
    /// A takeover that finds a snapshot ahead of the cluster's transaction ids puts the position back to floor.
    pub(crate) trust_floor: bool,
    /// A position above the one found at takeover is stored only with a snapshot of one's own.
    pub(crate) own_snapshot: bool,
    /// What is at or below floor is settled whatever the snapshot says.
    pub(crate) floor_settles: bool,

    pub(crate) mutant: Mutant,
    /// Merges states that differ only in the numbering of equal writers or of the relays (off for readable traces).
    pub(crate) symmetry: bool,
    /// "P1 completes" is tried from one state in this many: it costs more than all other properties together.
    pub(crate) sample: u64,
}

/// A writer of one message with this key, serialised if it has one.
pub(crate) fn writer(key: u8) -> WriterConfig {
    WriterConfig { key, rows: 1, serial: key != 0, after: After::Start, aborts: false }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            writers: vec![writer(1), writer(1), writer(0)],
            gaps: 0,
            unreplicated: false,
            limit: 2,
            budget: Budget::default(),
            retention: false,
            failover: false,
            dump_has_token: false,
            split_fetch: false,
            unprobed: false,
            hold_unprobed: false,
            whole_scan: true,
            ask_writers: false,
            token_per_lease: true,
            capped: false,
            publish_deadline: true,
            tokenless_waits: true,
            wait_restarts: true,
            first_waits: true,
            reset_waits: true,
            scan_fenced: true,
            scan_skips_dead: true,
            dead_holds_key: true,
            dead_holds_parked: true,
            dead_durable: true,
            dead_waits: true,
            dead_seen: false,
            unparked_settles: true,
            lost_reply_restarts: true,
            acquire_durable: true,
            trust_floor: false,
            own_snapshot: true,
            floor_settles: true,
            mutant: Mutant::None,
            symmetry: true,
            sample: 1,
        }
    }
}
