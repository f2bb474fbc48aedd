use lapin::{Error, ErrorKind};

/// A setting that cannot work; the text says which and what to do.
#[derive(Debug)]
pub struct AmqpConfigError(String);

impl AmqpConfigError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for AmqpConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AmqpConfigError {}

/// What the end of a channel, or of a whole connection, is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing that was sent: to be tried again.
    Unknown,
    /// One of the messages that were sent.
    Message,
    /// The destination of one of the messages that were sent.
    Destination,
    /// The exchange, which all messages go to.
    Exchange,
    /// One of the messages that were sent by this connection, by whichever publish: all are told the same.
    Connection,
}

impl Fault {
    pub(crate) fn of(error: &Error) -> Self {
        match code(error) {
            // content-too-large, precondition-failed.
            Some(311 | 406) => Self::Message,
            // frame-error and syntax-error, which end the connection.
            Some(501 | 502) => Self::Connection,
            // no-route, no-consumers, access-refused, resource-locked: perhaps of this routing key only.
            Some(312 | 313 | 403 | 405) => Self::Destination,
            // not-found: there is nothing else to be found in a publish.
            Some(404) => Self::Exchange,
            _ => Self::Unknown,
        }
    }
}

/// The broker's own code, where it is the broker that says so.
fn code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// Of the errors that one channel gave, the one that says why.
pub(crate) fn telling(a: Option<Error>, b: Error) -> Option<Error> {
    match a {
        Some(a) if code(&a).is_some() || code(&b).is_none() => Some(a),
        _ => Some(b),
    }
}

#[cfg(test)]
mod tests {
    use lapin::ConnectionState;
    use lapin::protocol::AMQPError;

    use super::*;

    fn error(code: u16) -> Error {
        ErrorKind::ProtocolError(AMQPError::from_id(code, "why".into()).expect("a code of AMQP")).into()
    }

    #[test]
    fn codes_are_sorted_by_whom_they_concern() {
        for (codes, fault) in [
            (&[311, 406][..], Fault::Message),
            (&[501, 502], Fault::Connection),
            (&[312, 403, 405], Fault::Destination),
            (&[404], Fault::Exchange),
            (&[320, 504, 505, 506, 530, 540, 541], Fault::Unknown),
        ] {
            for code in codes {
                assert_eq!(Fault::of(&error(*code)), fault, "{code}");
            }
        }
        assert_eq!(Fault::of(&ErrorKind::MissingHeartbeatError.into()), Fault::Unknown);
    }

    #[test]
    fn the_brokers_own_word_counts() {
        let closed = || Error::from(ErrorKind::InvalidConnectionState(ConnectionState::Closed));
        assert!(telling(Some(closed()), error(404)).is_some_and(|e| Fault::of(&e) == Fault::Exchange));
        assert!(telling(Some(error(404)), closed()).is_some_and(|e| Fault::of(&e) == Fault::Exchange));
        assert!(telling(None, closed()).is_some());
    }
}
