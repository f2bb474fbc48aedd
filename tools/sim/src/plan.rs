//! What a history is made from: data, drawn from the seed before anything runs, so that shrinking is editing.
//! All times are milliseconds since the start.

/// A whole history's settings, workload and faults.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) faults: Vec<Fault>,
}

#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) processes: u8,
    /// Many of a key may be in flight; the broker stores no later one where one was not stored.
    pub(crate) gapless: bool,
    pub(crate) batch: usize,
    pub(crate) window: usize,
    pub(crate) lease: u64,
    pub(crate) publish_deadline: u64,
    pub(crate) max_attempts: u32,
    pub(crate) retry_max: u64,
    pub(crate) poll_max: u64,
    /// The longest usual delay of a message between a process and the database or broker.
    pub(crate) delay: u64,
    /// A connection outlives the server behind it.
    pub(crate) pooler: bool,
    pub(crate) retention: bool,
    /// Keys below this number are locked by their writers before the first enqueue; the others are not.
    pub(crate) locked_keys: u8,
}

impl Setup {
    pub(crate) fn drain_deadline(&self) -> u64 {
        2 * self.publish_deadline + 1_000
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) number: u32,
    pub(crate) at: u64,
    /// It owns a transaction id before it writes to the outbox.
    pub(crate) early_id: bool,
    pub(crate) writes: Vec<Write>,
    /// From the last write to the end.
    pub(crate) hold: u64,
    pub(crate) commits: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// Names the message.
    pub(crate) message: u32,
    pub(crate) key: Option<u8>,
    /// Since the write before.
    pub(crate) after: u64,
    /// Between the transaction id and the sequence number.
    pub(crate) pause: u64,
    /// Rolled back to a savepoint: its number is used up.
    pub(crate) undone: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process vanishes at its `polls`th step after `at`, and is back some time later.
    Crash {
        process: u8,
        at: u64,
        polls: u32,
        back: u64,
    },
    /// A clean shutdown.
    Shutdown {
        process: u8,
        at: u64,
        back: u64,
    },
    /// It does nothing for a while, and goes on as if nothing had been.
    Freeze {
        process: u8,
        at: u64,
        until: u64,
    },
    /// Between a process (or all) and the database.
    Network {
        process: Option<u8>,
        from: u64,
        until: u64,
        how: Loss,
    },
    /// The server crashes: commits that nobody waited for may be lost. `keep`: how much of what may be lost is kept.
    ServerCrash {
        at: u64,
        down: u64,
        keep: u64,
        skip: bool,
    },
    /// A standby that is up to `lag` behind takes over.
    Failover {
        at: u64,
        down: u64,
        lag: u64,
        keep: u64,
        skip: bool,
    },
    /// The broker is away.
    Outage {
        from: u64,
        until: u64,
        how: Away,
    },
    /// Some publishes get lost, or their answers.
    Lossy {
        from: u64,
        until: u64,
        percent: u64,
    },
    SlowKey {
        key: u8,
        from: u64,
        until: u64,
        delay: u64,
    },
    /// The broker refuses the message, until it does not.
    Poison {
        message: u32,
        until: Option<u64>,
    },
    /// Every attempt of the message ends without an answer.
    Failing {
        message: u32,
        until: u64,
    },
    /// The transport panics when it is given the message.
    Panic {
        message: u32,
        until: u64,
    },
    /// A topic is missing.
    NoDestination {
        topic: u8,
        from: u64,
        until: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Requests vanish.
    Requests,
    /// Requests are carried out, answers vanish.
    Answers,
    /// A third of either, at random.
    Some,
    /// Up to this much more delay each way.
    Slow(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    /// Refuses at once.
    Refuses,
    /// Does not answer, and stores nothing.
    Silent,
    /// Stores, and does not answer.
    Mute,
    /// Does not answer, and stores late what was sent.
    Late,
}

impl Fault {
    /// When it is over.
    pub(crate) fn end(&self) -> u64 {
        match *self {
            Self::Crash { at, back, .. } => at + 500 + back,
            Self::Shutdown { at, back, .. } => at + back,
            Self::ServerCrash { at, down, .. } | Self::Failover { at, down, .. } => at + down,
            Self::Freeze { until, .. }
            | Self::Network { until, .. }
            | Self::Outage { until, .. }
            | Self::Lossy { until, .. }
            | Self::SlowKey { until, .. }
            | Self::Failing { until, .. }
            | Self::Panic { until, .. }
            | Self::NoDestination { until, .. } => until,
            Self::Poison { until, .. } => until.unwrap_or(0),
        }
    }
}

impl Plan {
    /// How many messages the transactions write.
    pub fn messages(&self) -> usize {
        self.transactions.iter().map(|t| t.writes.len()).sum()
    }

    /// How many faults there are.
    pub fn faults(&self) -> usize {
        self.faults.len()
    }

    /// From here on nothing goes wrong any more.
    pub(crate) fn calm(&self) -> u64 {
        self.faults.iter().map(Fault::end).max().unwrap_or(0)
    }

    /// Within this time after the last fault everything must be delivered: a lost incarnation costs a full lease, each
    /// way of waiting its longest wait.
    pub(crate) fn patience(&self) -> u64 {
        let s = &self.setup;
        4 * s.lease + 4 * s.publish_deadline + 8 * s.retry_max + 20_000
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {}: {:?}", self.seed, self.setup)?;
        for t in &self.transactions {
            let writes: Vec<String> = t.writes.iter().map(Write::to_string).collect();
            let (end, id) =
                (if t.commits { "commits" } else { "rolls back" }, if t.early_id { " early id," } else { "" });
            writeln!(f, "  at {:>6} t{}:{id} {} {end} after {}", t.at, t.number, writes.join(" "), t.hold)?;
        }
        for fault in &self.faults {
            writeln!(f, "  {fault:?}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.key.map_or("-".to_owned(), |k| format!("k{k}"));
        let undone = if self.undone { " undone" } else { "" };
        write!(f, "[+{} m{}/{key} pause {}{undone}]", self.after, self.message, self.pause)
    }
}
