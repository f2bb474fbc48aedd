use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outbox_core::{MessageRef, TopicFilter};
use serde_json::{Map, Value, json};

/// Which messages a replay covers, as the relay's row keeps it. Times are microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
    /// The last number that it can cover. The database sets it.
    pub(crate) until: Option<i64>,
    pub(crate) topics: TopicFilter,
    pub(crate) key: Option<String>,
}

impl Selection {
    pub(crate) fn json(&self) -> String {
        let mut map = Map::new();
        let times = [("from", self.from), ("to", self.to), ("until", self.until)];
        map.extend(times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), json!(time?)))));
        if !self.topics.patterns().is_empty() {
            map.insert("topics".into(), json!(self.topics.patterns()));
        }
        if let Some(key) = &self.key {
            map.insert("key".into(), json!(key));
        }
        Value::Object(map).to_string()
    }

    /// As written above. `None` where a part cannot be read: to leave it out would hand out what is not covered.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let Value::Object(map) = serde_json::from_str(text).ok()? else { return None };
        let mut read = Self::default();
        for (name, value) in &map {
            match name.as_str() {
                "from" => read.from = Some(value.as_i64()?),
                "to" => read.to = Some(value.as_i64()?),
                "until" => read.until = Some(value.as_i64()?),
                "key" => read.key = Some(value.as_str()?.to_owned()),
                "topics" => {
                    let patterns: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
                    read.topics = TopicFilter::new(patterns?).ok()?;
                }
                // The last number when it was made: for the view.
                "made" => {}
                _ => return None,
            }
        }
        Some(read)
    }

    pub(crate) fn covers(&self, m: &MessageRef<'_>) -> bool {
        self.until.is_none_or(|until| m.seq() <= until)
            && self.from.is_none_or(|from| from <= m.created_at_micros())
            && self.to.is_none_or(|to| m.created_at_micros() < to)
            && self.key.as_deref().is_none_or(|key| m.key() == Some(key))
            && self.topics.matches(m.topic())
    }
}

/// Of microseconds since 1970.
pub(super) fn time(micros: i64) -> SystemTime {
    let from_1970 = Duration::from_micros(micros.unsigned_abs());
    let time = if micros < 0 { UNIX_EPOCH.checked_sub(from_1970) } else { UNIX_EPOCH.checked_add(from_1970) };
    time.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_nothing_is_left_out() {
        let whole = Selection {
            from: Some(-5),
            to: Some(1_800_000_000_000_000),
            until: Some(7),
            topics: TopicFilter::new(["orders", "order.*"]).unwrap(),
            key: Some("ü\"7".into()),
        };
        for selection in [whole, Selection::default()] {
            assert_eq!(Selection::read(&selection.json()), Some(selection));
        }
        assert_eq!(Selection::read(r#"{"made": 3}"#), Some(Selection::default()));
        for bad in ["", "[]", r#"{"from": "now"}"#, r#"{"topics": [""]}"#, r#"{"sample": 10}"#] {
            assert_eq!(Selection::read(bad), None, "{bad}");
        }
    }
}
