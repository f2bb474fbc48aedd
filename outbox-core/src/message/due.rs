use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::InvalidMessage;

/// When a scheduled message is delivered: not before this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Due {
    /// At a time of the database's clock. One that has passed is due at once; the last one is the end of the year 9999.
    At(SystemTime),
    /// So long after the time of the transaction that writes it, by the database's clock (MySQL and SQLite: of the
    /// statement). At most 100 years.
    After(Duration),
}

const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
/// 9999-12-31T23:59:59Z.
const LAST: Duration = Duration::from_secs(253_402_300_799);

impl Due {
    /// As microseconds: since 1970, and after the transaction's time; one of them is there.
    pub fn micros(self) -> (Option<i64>, Option<i64>) {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        match self {
            Self::At(time) => (Some(time.duration_since(UNIX_EPOCH).map_or(0, micros)), None),
            Self::After(time) => (None, Some(micros(time))),
        }
    }

    pub(crate) fn check(self) -> Result<(), InvalidMessage> {
        let (too_late, last) = match self {
            Self::At(time) => (time.duration_since(UNIX_EPOCH).is_ok_and(|time| time > LAST), "the end of 9999"),
            Self::After(time) => (time > LONGEST, "100 years from now"),
        };
        if too_late {
            return Err(InvalidMessage::new(
                format!("the message is scheduled for later than {last}"),
                "give a time within the bound",
            ));
        }
        Ok(())
    }
}
