use outbox_core::{StoreError, StoreErrorKind};
use sqlx::Error;

/// How sqlx says it.
const NO_TLS: &str = "without TLS support";

/// What a database error asks of its reader; the database decides on the codes.
pub(crate) fn map(error: Error, of_code: impl Fn(&str, &str) -> StoreErrorKind) -> StoreError {
    let no_tls = matches!(&error, Error::Tls(e) if e.to_string().contains(NO_TLS));
    let kind = match &error {
        _ if no_tls => StoreErrorKind::Config,
        Error::Database(e) => of_code(e.code().as_deref().unwrap_or(""), e.message()),
        Error::Configuration(_) => StoreErrorKind::Config,
        Error::ColumnDecode { .. } | Error::ColumnNotFound(_) | Error::TypeNotFound { .. } => StoreErrorKind::Schema,
        // Lost connections, TLS, protocol, crashed workers: whatever it was, a new connection may do.
        _ => StoreErrorKind::Unavailable,
    };
    let code = error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned());
    let error = StoreError::new(kind, "statement").with_source(error);
    match kind {
        StoreErrorKind::Schema => {
            error.with_detail("run `outbox migrate` or call `migrate()`, and check schema and table names")
        }
        StoreErrorKind::RolledBack => error.with_detail(
            "an earlier statement of it failed and its error was passed over, so the database keeps nothing of it: \
             handle every error, or put what may fail into a savepoint (`tx.begin()`)",
        ),
        _ if no_tls => error.with_detail(
            "the database URL asks for TLS, and it is not built in: enable one of sqlx's `tls-` features, or build the \
             command with `--features tls`",
        ),
        StoreErrorKind::Config if matches!(&code, Some(code) if code == "26000" || code == "42P05") => error
            .with_detail(
                "a pooler mixes up prepared statements: use PgBouncer 1.21 or newer with `max_prepared_statements` \
                 above 0, or a direct URL",
            ),
        _ => error,
    }
}

pub(crate) fn not_in_transaction() -> StoreError {
    StoreError::new(StoreErrorKind::NotInTransaction, "enqueue").with_detail(
        "the message would not be atomic with anything: begin with `pool.begin()` or `conn.begin()`; a hand-written \
         BEGIN is not seen by sqlx",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_that_is_not_built_in_is_no_outage() {
        let tls = |text: &str| map(Error::Tls(text.into()), |_, _| StoreErrorKind::Unexpected);
        let absent = tls("TLS upgrade required by connect options but SQLx was built without TLS support enabled");
        assert_eq!(absent.kind(), StoreErrorKind::Config);
        assert!(format!("{absent}").contains("--features tls"), "{absent}");
        assert_eq!(tls("the certificate has expired").kind(), StoreErrorKind::Unavailable);
    }
}
