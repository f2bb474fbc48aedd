//! Exact texts and topics as conditions of MySQL, where `=` ignores spaces at the end: as patterns of LIKE.

use outbox_core::TopicFilter;

use crate::{Value, literals};

/// A condition for exactly these topics, whatever the table's collation; `None` for all.
pub(crate) fn of_topics(topics: &TopicFilter) -> Option<String> {
    let like = "topic like $1 collate utf8mb4_bin escape '!'";
    let of_one = |pattern: &String| literals(like, &[Value::from(escaped(pattern))]);
    let any: Vec<String> = topics.patterns().iter().map(of_one).collect();
    (!any.is_empty()).then(|| format!("({})", any.join(" or ")))
}

/// A topic or a prefix as a pattern.
fn escaped(pattern: &str) -> String {
    let (text, rest) = pattern.strip_suffix('*').map_or((pattern, ""), |prefix| (prefix, "%"));
    exactly(text) + rest
}

/// A text as a pattern that only it matches.
pub(crate) fn exactly(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}
