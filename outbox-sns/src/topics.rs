//! From a topic of the outbox to a topic of SNS.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::SnsConfigError;

/// Where the messages of one topic go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) arn: Arc<str>,
    /// SNS names FIFO topics, and only those, with `.fifo` at the end.
    pub(crate) fifo: bool,
}

#[derive(Debug)]
pub(crate) struct Topics {
    prefix: String,
    others: HashMap<String, Destination>,
    fifo: bool,
    pub(crate) region: String,
}

impl Topics {
    pub(crate) fn new(prefix: &str, others: &BTreeMap<String, String>, fifo: bool) -> Result<Self, SnsConfigError> {
        let prefix = prefix.trim();
        let prefix = format!("{}:", prefix.strip_suffix(':').unwrap_or(prefix));
        let Some((region, "")) = region_and_name(&prefix) else {
            return Err(SnsConfigError::new(format!(
                "{prefix:?} is not what stands before a topic's name: give arn:aws:sns:REGION:ACCOUNT:"
            )));
        };
        let mut topics = Self { region: region.to_owned(), others: HashMap::new(), fifo, prefix: prefix.clone() };
        for (topic, arn) in others {
            let error = |what: String| Err(SnsConfigError::new(format!("the topic {topic:?} as {arn:?}: {what}")));
            match region_and_name(arn) {
                Some((_, name)) if !is_name(name) => return error("that is no ARN of a topic".into()),
                None => return error("that is no ARN of a topic; give arn:aws:sns:REGION:ACCOUNT:NAME".into()),
                Some((other, _)) if other != region => {
                    return error(format!(
                        "that is in another region than {region}; a transport is for one region: make a second one, \
                         with a relay of its own"
                    ));
                }
                Some((_, name)) if fifo && !name.ends_with(".fifo") => {
                    return error("that is no FIFO topic, and all were said to be".into());
                }
                Some((_, name)) => {
                    let fifo = name.ends_with(".fifo");
                    topics.others.insert(topic.clone(), Destination { arn: arn.as_str().into(), fifo });
                }
            }
        }
        Ok(topics)
    }

    /// # Errors
    /// In words, when SNS can have no topic of this name.
    pub(crate) fn find(&self, topic: &str) -> Result<Destination, String> {
        if let Some(found) = self.others.get(topic) {
            return Ok(found.clone());
        }
        let ending = if self.fifo && !topic.ends_with(".fifo") { ".fifo" } else { "" };
        let name = format!("{topic}{ending}");
        if !is_name(&name) {
            let shown: String = name.chars().take(40).collect();
            return Err(format!(
                "SNS has no topic {shown:?}: names are of 1 to 256 letters, digits, '-' and '_', and perhaps .fifo; \
                 name its ARN by SnsConfig::topic"
            ));
        }
        Ok(Destination { arn: format!("{}{name}", self.prefix).into(), fifo: name.ends_with(".fifo") })
    }

    /// The name of a topic in the account of the prefix.
    pub(crate) fn own_name<'a>(&self, arn: &'a str) -> Option<&'a str> {
        arn.strip_prefix(&self.prefix)
    }
}

/// Of `arn:PARTITION:sns:REGION:ACCOUNT:NAME`.
fn region_and_name(arn: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = arn.split(':').collect();
    let &["arn", partition, "sns", region, account, name] = parts.as_slice() else { return None };
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let number = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
    (plain(partition) && plain(region) && number).then_some((region, name))
}

fn is_name(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !stem.is_empty() && name.len() <= 256 && stem.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "arn:aws:sns:eu-west-1:123456789012:";

    fn topics(others: &[(&str, &str)], fifo: bool) -> Result<Topics, String> {
        let others = others.iter().map(|(topic, arn)| ((*topic).to_owned(), (*arn).to_owned())).collect();
        Topics::new(PREFIX, &others, fifo).map_err(|e| e.to_string())
    }

    fn arn(topics: &Topics, topic: &str) -> String {
        topics.find(topic).expect("a topic").arn.to_string()
    }

    #[test]
    fn a_name_is_put_behind_the_prefix() {
        let plain = topics(&[], false).expect("valid");
        assert_eq!(arn(&plain, "orders"), format!("{PREFIX}orders"));
        assert!(!plain.find("orders").expect("valid").fifo);
        assert!(plain.find("orders.fifo").expect("valid").fifo);
        assert_eq!(plain.region, "eu-west-1");
        let without_colon = Topics::new(&PREFIX[..PREFIX.len() - 1], &BTreeMap::new(), false).expect("valid");
        assert_eq!(arn(&without_colon, "orders"), format!("{PREFIX}orders"));
        let fifo = topics(&[], true).expect("valid");
        assert_eq!(arn(&fifo, "orders"), format!("{PREFIX}orders.fifo"));
        assert_eq!(arn(&fifo, "orders.fifo"), format!("{PREFIX}orders.fifo"));
    }

    #[test]
    fn a_topic_may_have_another_name_at_sns() {
        let other = "arn:aws:sns:eu-west-1:999999999999:all.fifo";
        let topics = topics(&[("order.created", other)], false).expect("valid");
        assert_eq!(topics.find("order.created"), Ok(Destination { arn: other.into(), fifo: true }));
        assert_eq!(topics.own_name(other), None);
        assert_eq!(topics.own_name(&format!("{PREFIX}a")), Some("a"));
    }

    #[test]
    fn names_that_sns_cannot_have_are_refused_before_they_are_sent() {
        let long = "x".repeat(257);
        for bad in ["", ".", ".fifo", "a b", "a\r\nb", "a\0b", "orders.*", "a:b", "ü", &long] {
            let error = topics(&[], false).expect("valid").find(bad).expect_err(bad);
            assert!(error.contains("SnsConfig::topic"), "{error}");
        }
        assert!(topics(&[], true).expect("valid").find(&"x".repeat(251)).is_ok());
        assert!(topics(&[], true).expect("valid").find(&"x".repeat(252)).is_err());
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        for bad in [
            "",
            "orders",
            "arn:aws:sqs:eu-west-1:1:",
            "arn:aws:sns:eu-west-1:",
            "arn:aws:sns::1:",
            &format!("{PREFIX}x"),
        ] {
            let error = Topics::new(bad, &BTreeMap::new(), false).expect_err(bad).to_string();
            assert!(error.contains("arn:aws:sns:REGION:ACCOUNT:"), "{error}");
        }
        let error = |arn, fifo| topics(&[("orders", arn)], fifo).expect_err(arn);
        assert!(error("orders", false).contains("no ARN"));
        assert!(error("arn:aws:sns:eu-west-1:1:a b", false).contains("no ARN"));
        assert!(error("arn:aws:sns:us-east-1:1:a", false).contains("another region"));
        assert!(error("arn:aws:sns:eu-west-1:1:a", true).contains("no FIFO topic"));
    }
}
