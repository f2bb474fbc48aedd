use diesel::connection::TransactionManagerStatus;
use diesel::result::{ConnectionError, DatabaseErrorKind, Error};
use outbox_core::{StoreError, StoreErrorKind};

const PASSED_OVER: &str = "an earlier statement of it failed and its error was passed over, so the database keeps \
    nothing of it: return that error from the closure, or put what may fail into a savepoint (a \
    `conn.transaction(..)` inside)";

/// What a database error asks of its reader, by kind, text, and whether it points into the statement: diesel does not
/// pass on the codes of a database.
pub(crate) type Judge = fn(&DatabaseErrorKind, &str, bool) -> StoreErrorKind;

pub(crate) fn map(error: Error, judge: Judge) -> StoreError {
    let kind = match &error {
        Error::DatabaseError(kind, said) => judge(kind, said.message(), said.statement_position().is_some()),
        Error::DeserializationError(_) => StoreErrorKind::Schema,
        _ => StoreErrorKind::Unexpected,
    };
    let error = StoreError::new(kind, "statement").with_source(error);
    match kind {
        StoreErrorKind::Schema => {
            error.with_detail("run `outbox migrate` or call `migrate()`, and check schema and table names")
        }
        StoreErrorKind::RolledBack => error.with_detail(PASSED_OVER),
        _ => error,
    }
}

/// An error of a connection that could not be opened.
pub(crate) fn connect(error: ConnectionError, judge: Judge) -> StoreError {
    let kind = match &error {
        ConnectionError::CouldntSetupConfiguration(Error::DatabaseError(kind, said)) => match said.message() {
            text if malformed(text) => StoreErrorKind::Config,
            text => judge(kind, text, false),
        },
        ConnectionError::BadConnection(text) if malformed(text) => StoreErrorKind::Config,
        ConnectionError::BadConnection(text) => judge(&DatabaseErrorKind::Unknown, text, false),
        ConnectionError::InvalidCString(_) | ConnectionError::InvalidConnectionUrl(_) => StoreErrorKind::Config,
        _ => StoreErrorKind::Unavailable,
    };
    let opened = StoreError::new(kind, "connect").with_source(error);
    match kind {
        StoreErrorKind::Config => opened.with_detail("check the database URL"),
        _ => opened,
    }
}

/// As libpq and tokio-postgres speak of a URL that they cannot read.
fn malformed(text: &str) -> bool {
    let beginnings = ["invalid ", "missing ", "unexpected ", "end of string reached", "forbidden value"];
    beginnings.iter().any(|beginning| text.starts_with(beginning))
}

/// Checks what diesel knows of the transaction.
pub(crate) fn inside(status: &TransactionManagerStatus) -> Result<(), StoreError> {
    let (kind, detail) = match status {
        TransactionManagerStatus::Valid(valid) => match &valid.in_transaction {
            Some(state) if state.requires_rollback_maybe_up_to_top_level => (StoreErrorKind::RolledBack, PASSED_OVER),
            Some(_) => return Ok(()),
            None => (
                StoreErrorKind::NotInTransaction,
                "the message would not be atomic with anything: enqueue inside the closure of `conn.transaction(..)`; \
                 a hand-written BEGIN is not seen by diesel",
            ),
        },
        TransactionManagerStatus::InError => (
            StoreErrorKind::NotInTransaction,
            "the transaction broke, and its connection with it: open another connection and run it again",
        ),
    };
    Err(StoreError::new(kind, "enqueue").with_detail(detail))
}
