use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::InvalidMessage;

/// The id of a message, unique for ever: what consumers and brokers deduplicate by. A UUIDv7 unless the caller chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Uuid);

impl MessageId {
    /// A new UUIDv7 (RFC 9562).
    #[expect(clippy::new_without_default, reason = "every new id differs, which is no default")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// As a UUID.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for MessageId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As brokers carry it.
impl FromStr for MessageId {
    type Err = InvalidMessage;

    fn from_str(text: &str) -> Result<Self, InvalidMessage> {
        let bad =
            |_| InvalidMessage::new(format!("{text:?} is no message id"), "give a UUID, as the broker carries it");
        Uuid::parse_str(text).map(Self).map_err(bad)
    }
}
