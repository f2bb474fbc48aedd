//! Which topics a relay covers.

use crate::InvalidMessage;

/// Exact topic names, or prefixes that end in one `*`. Empty: all topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicFilter(Vec<String>);

impl TopicFilter {
    /// Every topic.
    pub const fn all() -> Self {
        Self(Vec::new())
    }

    /// The given patterns.
    ///
    /// # Errors
    /// For an empty pattern, or a `*` anywhere but at the end.
    pub fn new(patterns: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, InvalidMessage> {
        let patterns: Vec<String> = patterns.into_iter().map(Into::into).collect();
        for p in &patterns {
            if p.is_empty() || p.strip_suffix('*').unwrap_or(p).contains('*') {
                return Err(InvalidMessage::new(
                    format!("the topic pattern {p:?} is not valid"),
                    "give an exact name, or a prefix that ends in one *",
                ));
            }
        }
        Ok(Self(patterns))
    }

    /// The patterns; empty for all topics.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    /// The exact names among them.
    pub fn exact(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).filter(|p| !p.ends_with('*'))
    }

    /// Whether there is a topic that both cover.
    pub fn overlaps(&self, other: &Self) -> bool {
        let both = |a: &str, b: &str| match (a.strip_suffix('*'), b.strip_suffix('*')) {
            (Some(a), Some(b)) => a.starts_with(b) || b.starts_with(a),
            (Some(a), None) => b.starts_with(a),
            (None, Some(b)) => a.starts_with(b),
            (None, None) => a == b,
        };
        let one_is_all = self.0.is_empty() || other.0.is_empty();
        one_is_all || self.0.iter().any(|a| other.0.iter().any(|b| both(a, b)))
    }

    /// Whether `topic` is covered.
    pub fn matches(&self, topic: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|p| match p.strip_suffix('*') {
                Some(prefix) => topic.starts_with(prefix),
                None => p == topic,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::TopicFilter;

    #[test]
    fn filters_overlap_where_a_topic_is_of_both() {
        let filter = |patterns: &[&str]| TopicFilter::new(patterns.iter().copied()).expect("valid");
        for (a, b, overlap) in [
            (&["a"][..], &["b"][..], false),
            (&["a", "b"], &["b"], true),
            (&["a.*"], &["a.b"], true),
            (&["a.*"], &["a", "b.*"], false),
            (&["a.b*"], &["a.*"], true),
            (&[], &["a"], true),
            (&["*"], &["a"], true),
        ] {
            assert_eq!(filter(a).overlaps(&filter(b)), overlap, "{a:?} {b:?}");
            assert_eq!(filter(b).overlaps(&filter(a)), overlap, "{b:?} {a:?}");
        }
    }
}
