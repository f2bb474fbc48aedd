use std::fmt;

/// Where messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatabaseKind {
    /// PostgreSQL 17.
    Postgres,
    /// MySQL 9.
    Mysql,
    /// A file.
    Sqlite,
}

/// Where they are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BrokerKind {
    /// Kafka 4.
    Kafka,
    /// RabbitMQ 4 with quorum queues.
    RabbitMq,
    /// NATS 2.15 with JetStream.
    Nats,
}

impl DatabaseKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Mysql, Self::Sqlite];
}

impl BrokerKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kafka, Self::RabbitMq, Self::Nats];
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Postgres => "Postgres",
            Self::Mysql => "MySQL",
            Self::Sqlite => "SQLite",
        })
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kafka => "Kafka",
            Self::RabbitMq => "RabbitMQ",
            Self::Nats => "NATS",
        })
    }
}

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// SIGKILL to the holder of the lease when a batch is about to be handed over.
    KilledBeforeAck,
    /// The same when the broker has acknowledged a batch, and the relay does not know it yet.
    KilledAfterAck,
    /// The same when a settlement is about to be sent.
    KilledBeforeSettle,
    /// The same when a settlement was applied, and the relay does not know it yet.
    KilledAfterSettle,
    /// The same while messages of some keys are parked, and others wait behind them.
    KilledWithParked,
    /// SIGSTOP to the holder for longer than its lease, and SIGCONT when another one has taken over.
    Zombie,
    /// The holder's own clock jumps forward by four leases.
    ClockJump,
    /// The holder's own clock stands still for longer than its lease, while it goes on.
    ClockStands,
    /// SIGTERM to the holder with a batch under way.
    Shutdown,
    /// A message that the broker will never take.
    Poison,
    /// No connection to the database.
    DatabaseCut,
    /// The database is killed, and started again.
    DatabaseKilled,
    /// The database does not answer. SQLite: somebody holds the write lock.
    DatabaseFrozen,
    /// The database's disk is full.
    DatabaseFull,
    /// No connection to the broker.
    BrokerCut,
    /// The broker is killed, and started again.
    BrokerKilled,
    /// The broker does not answer.
    BrokerFrozen,
    /// The broker stores what it is given, and nothing that it answers arrives.
    AcksDropped,
}

impl Fault {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 18] = [
        Self::KilledBeforeAck,
        Self::KilledAfterAck,
        Self::KilledBeforeSettle,
        Self::KilledAfterSettle,
        Self::KilledWithParked,
        Self::Zombie,
        Self::ClockJump,
        Self::ClockStands,
        Self::Shutdown,
        Self::Poison,
        Self::DatabaseCut,
        Self::DatabaseKilled,
        Self::DatabaseFrozen,
        Self::DatabaseFull,
        Self::BrokerCut,
        Self::BrokerKilled,
        Self::BrokerFrozen,
        Self::AcksDropped,
    ];

    /// Whether there is such a fault there: nobody cuts the connection to a file, or kills it.
    #[must_use]
    pub fn concerns(self, database: DatabaseKind) -> bool {
        database != DatabaseKind::Sqlite || !matches!(self, Self::DatabaseCut | Self::DatabaseKilled)
    }

    /// Whether it is done to the database, or to the broker, rather than to a relay.
    pub(crate) fn of_a_broker(self) -> bool {
        matches!(self, Self::BrokerCut | Self::BrokerKilled | Self::BrokerFrozen | Self::AcksDropped)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KilledBeforeAck => "relay killed before ack",
            Self::KilledAfterAck => "relay killed after ack",
            Self::KilledBeforeSettle => "relay killed before settle",
            Self::KilledAfterSettle => "relay killed after settle",
            Self::KilledWithParked => "relay killed with parked",
            Self::Zombie => "zombie past its lease",
            Self::ClockJump => "clock jumps",
            Self::ClockStands => "clock stands still",
            Self::Shutdown => "shutdown in mid-batch",
            Self::Poison => "poison message",
            Self::DatabaseCut => "database cut",
            Self::DatabaseKilled => "database killed",
            Self::DatabaseFrozen => "database frozen",
            Self::DatabaseFull => "database out of disk",
            Self::BrokerCut => "broker cut",
            Self::BrokerKilled => "broker killed",
            Self::BrokerFrozen => "broker frozen",
            Self::AcksDropped => "acknowledgements dropped",
        })
    }
}
