use std::time::SystemTime;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A time as RFC 3339, or the beginning of a day in UTC.
pub(crate) fn parse(text: &str) -> Result<SystemTime> {
    let advice = || format!("{text:?} is no time: give a day such as 2026-11-01 (UTC), or 2026-11-01T12:30:00+01:00");
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        // A day with a time of day has to say of which zone it is.
        Err(_) if text.len() == "2026-11-01".len() => {
            let day: Date = text.parse().with_context(advice)?;
            day.to_zoned_datetime(TimeZone::UTC).with_context(advice)?.timestamp()
        }
        Err(e) => return Err(e).with_context(advice),
    };
    SystemTime::try_from(time).with_context(advice)
}

/// As RFC 3339 in UTC, to the second.
pub(crate) fn show(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "?".to_owned(), |time| format!("{time:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_a_time_are_understood_and_nothing_in_between() {
        for (text, utc) in [
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T12:30:00Z", "2026-11-01T12:30:00Z"),
            ("2026-11-01T12:30:00+01:00", "2026-11-01T11:30:00Z"),
            ("2026-11-01 12:30:00.9Z", "2026-11-01T12:30:00Z"),
        ] {
            assert_eq!(show(parse(text).expect(text)), utc);
        }
        for text in ["", "yesterday", "2026-11-01T12:30:00", "2026-13-01", "2026-11", "1793491200"] {
            assert!(parse(text).expect_err(text).to_string().contains("2026-11-01 (UTC)"), "{text}");
        }
    }
}
