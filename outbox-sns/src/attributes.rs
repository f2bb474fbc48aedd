//! Headers as attributes: at most ten, or SNS silently discards the message on raw delivery to SQS.

use std::collections::BTreeMap;

use crate::text;

/// The attribute with the headers that are no attribute of their own: a JSON object.
pub(crate) const HEADERS: &str = "headers";

/// The attribute that says how a payload that is no text was made one.
pub(crate) const PAYLOAD_ENCODING: &str = "payload-encoding";

const MOST: usize = 10;
const LONGEST_NAME: usize = 256;

/// Takes headers, the most important ones first.
#[derive(Debug)]
pub(crate) struct Attributes {
    own: Vec<(String, String)>,
    packed: BTreeMap<String, String>,
}

impl Attributes {
    pub(crate) fn new(payload_encoding: Option<&str>) -> Self {
        let own = payload_encoding.map(|encoding| (PAYLOAD_ENCODING.to_owned(), encoding.to_owned()));
        Self { own: own.into_iter().collect(), packed: BTreeMap::new() }
    }

    pub(crate) fn extend(&mut self, headers: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in headers {
            if is_name(&name) && is_value(&value) && self.own.iter().all(|(taken, _)| *taken != name) {
                self.own.push((name, value));
            } else {
                self.packed.insert(name, value);
            }
        }
    }

    /// Each header an attribute; where there are too many the last ones are packed.
    pub(crate) fn finish(mut self) -> Vec<(String, String)> {
        if self.own.len() > MOST || !self.packed.is_empty() {
            let last = self.own.split_off(self.own.len().min(MOST - 1));
            self.packed.extend(last);
            // Text keys and values: it cannot fail.
            let json = serde_json::to_string(&self.packed).unwrap_or_default();
            self.own.push((HEADERS.into(), text::carried_json(json)));
        }
        self.own
    }
}

/// Names that SNS and SQS take, but for those that are ours.
fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let theirs = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !theirs("AWS.")
        && !theirs("Amazon.")
        && ![HEADERS, PAYLOAD_ENCODING].contains(&name)
}

/// Not empty; and of one line, so that whoever copies it into a header of HTTP is safe.
fn is_value(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| text::is_carried_char(c) && !matches!(c, '\r' | '\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut attributes = Attributes::new(None);
        attributes.extend(headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        attributes.finish()
    }

    fn pairs(attributes: &[(String, String)]) -> Vec<(&str, &str)> {
        attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
    }

    #[test]
    fn headers_are_attributes_of_their_own_up_to_ten() {
        let ten: Vec<(String, String)> = (0..10).map(|n| (format!("h{n}"), "v".into())).collect();
        let ten = pairs(&ten);
        assert_eq!(pairs(&attributes(&ten)), ten);
        let eleven: Vec<(&str, &str)> = ten.iter().copied().chain([("last", "ü")]).collect();
        let carried = attributes(&eleven);
        assert_eq!(carried.len(), 10);
        assert_eq!(pairs(&carried)[..9], ten[..9]);
        assert_eq!(pairs(&carried)[9], ("headers", r#"{"h9":"v","last":"ü"}"#));
    }

    #[test]
    fn what_sns_does_not_take_is_packed() {
        let long = "x".repeat(257);
        let names =
            ["", "a b", "ü", ".a", "a.", "a..b", "AWS.a", "amazon.b", "headers", "payload-encoding", "a\r\nb", &long];
        for name in names {
            let carried = attributes(&[("good", "v"), (name, "v")]);
            let json = serde_json::json!({name: "v"}).to_string();
            assert_eq!(pairs(&carried), [("good", "v"), ("headers", json.as_str())]);
        }
        for value in ["", "a\r\nb", "\0", "\u{1}", "\u{ffff}"] {
            let carried = attributes(&[("h", value)]);
            assert_eq!(carried[0].0, "headers");
            let seen: serde_json::Value = serde_json::from_str(&carried[0].1).expect("JSON");
            assert_eq!(seen, serde_json::json!({"h": value}));
        }
        assert_eq!(pairs(&attributes(&[("a.b-c_D9", "v"), ("awsome", "v")])).len(), 2);
    }

    #[test]
    fn a_header_cannot_be_taken_for_what_is_ours() {
        let mut attributes = Attributes::new(Some("base64"));
        attributes.extend([("payload-encoding", "mine"), ("a", "1"), ("a", "2")].map(|(n, v)| (n.into(), v.into())));
        let json = r#"{"a":"2","payload-encoding":"mine"}"#;
        assert_eq!(pairs(&attributes.finish()), [("payload-encoding", "base64"), ("a", "1"), ("headers", json)]);
    }
}
