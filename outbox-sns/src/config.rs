use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use outbox_core::Limits;
use outbox_core::wire::WireFormat;

use crate::SnsConfigError;
use crate::topics::Topics;
use crate::wire::Wire;

/// What a topic takes by default: message and attributes, in bytes.
pub(crate) const USUAL: usize = 256 << 10;
/// What a topic takes at most, where its `MaximumMessageSize` says so.
const MOST: usize = 1 << 20;
/// Room beside the payload: id, key, types and headers at their bounds, as attributes. Bytes.
const OVERHEAD: usize = USUAL - 250_000;

/// Which topics of SNS there are, and how to talk to it.
///
/// Credentials, profiles and proxies are those of AWS's own environment (`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, web
/// identity, the metadata of ECS and EC2), read at the first publish; or those of a client of one's own
/// ([`SnsTransport::with_client`](crate::SnsTransport::with_client)). The region is that of the topics.
#[derive(Clone)]
pub struct SnsConfig {
    arn_prefix: String,
    topics: BTreeMap<String, String>,
    fifo: bool,
    pub(crate) endpoint: Option<String>,
    format: WireFormat,
    max_payload: usize,
    pub(crate) in_flight: usize,
    pub(crate) attempt_timeout: Duration,
    pub(crate) give_up_after: Duration,
    pub(crate) declare: bool,
}

impl SnsConfig {
    /// `arn_prefix`: what stands before the name in the topics' ARNs, such as `arn:aws:sns:eu-west-1:123456789012:`.
    /// The topic `orders` of the outbox is the topic `orders` of SNS there; one that ends in `.fifo` is a FIFO topic.
    pub fn new(arn_prefix: impl Into<String>) -> Self {
        Self {
            arn_prefix: arn_prefix.into(),
            topics: BTreeMap::new(),
            fifo: false,
            endpoint: None,
            format: WireFormat::raw(),
            max_payload: USUAL - OVERHEAD,
            in_flight: 32,
            attempt_timeout: Duration::from_secs(4),
            give_up_after: Duration::from_secs(9),
            declare: false,
        }
    }

    /// From `OUTBOX_SNS_ARN_PREFIX`, and `OUTBOX_SNS_ENDPOINT` where it is set.
    ///
    /// # Errors
    /// When `OUTBOX_SNS_ARN_PREFIX` is not set.
    pub fn from_env() -> Result<Self, SnsConfigError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SnsConfigError> {
        let Some(prefix) = variable("OUTBOX_SNS_ARN_PREFIX") else {
            return Err(SnsConfigError::new(
                "OUTBOX_SNS_ARN_PREFIX is not set: give what stands before the name in the topics' ARNs, such as \
                 arn:aws:sns:eu-west-1:123456789012:",
            ));
        };
        let config = Self::new(prefix);
        Ok(match variable("OUTBOX_SNS_ENDPOINT") {
            Some(url) => config.endpoint(url),
            None => config,
        })
    }

    /// Every topic is a FIFO topic: `.fifo` is added to the names of those without it, so that `orders` is
    /// `orders.fifo` at SNS. Then SNS keeps the order of each key, and drops what is sent again within 5 minutes, which
    /// the transport declares as its deduplication window. Default: a topic is what its name says, and no window is
    /// declared.
    #[must_use]
    pub fn fifo(mut self) -> Self {
        self.fifo = true;
        self
    }

    /// Another ARN for a topic: one that has another name at SNS, or belongs to another account. The region has to be
    /// the same.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>, arn: impl Into<String>) -> Self {
        self.topics.insert(topic.into(), arn.into());
        self
    }

    /// Another endpoint, such as `http://localhost:4566`. Default: that of the region, or of AWS's own settings
    /// (`AWS_ENDPOINT_URL_SNS`).
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// How messages are written. Default: the payload as it is.
    #[must_use]
    pub fn format(mut self, format: WireFormat) -> Self {
        self.format = format;
        self
    }

    /// The largest payload in bytes. Default 250,000, which with the attributes is the usual 256 KiB of a topic. Up to
    /// 1,036,432 where `MaximumMessageSize` of the topics is 12,144 more.
    ///
    /// A payload that is no text is sent as base64, which is a third longer, and refused where that is too long: for
    /// binary payloads set three quarters of it, and the relay's limit says so.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// How many requests may be under way, each of up to 10 messages: 1 to 1,000, default 32.
    #[must_use]
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.in_flight = requests;
        self
    }

    /// How long one attempt may take, the connecting included. Default 4 s.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// How long a publish tries again what SNS did not answer, throttled or failed at, before it says "unknown".
    /// Default 9 s; it should be less than the relay's publish deadline (default 10 s), so that the reason is known.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = time;
        self
    }

    /// Makes the relay's exact topics where they are not there (of a relay without such it makes none, and says so): FIFO ones with deduplication by message group, which is
    /// SNS's high throughput. Needs `sns:CreateTopic`. Default: off.
    #[must_use]
    pub fn declare(mut self) -> Self {
        self.declare = true;
        self
    }

    /// What a message may be, every part at its bound at once.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::DEFAULT.max_payload(self.format.max_payload(self.max_payload));
        limits.headers = 8 << 10;
        // SNS: 256 with the ending.
        limits.topic = if self.fifo { 251 } else { 255 };
        limits
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.fifo
    }

    pub(crate) fn wire(&self) -> Wire {
        Wire::new(self.format.clone(), self.max_message())
    }

    /// Message and attributes, in bytes.
    pub(crate) fn max_message(&self) -> usize {
        self.max_payload.saturating_add(OVERHEAD).max(USUAL)
    }

    /// Checks everything, and gives the topics.
    pub(crate) fn topics(&self) -> Result<Topics, SnsConfigError> {
        let error = |text: String| Err(SnsConfigError::new(text));
        self.format.check().map_err(|e| SnsConfigError::new(e.to_string()))?;
        if self.max_message() > MOST {
            let (given, most) = (self.max_payload, MOST - OVERHEAD);
            return error(format!("the largest payload is {given} bytes: SNS allows {most} beside the attributes"));
        }
        if !(1..=1_000).contains(&self.in_flight) {
            return error(format!("{} requests in flight: give 1 to 1,000", self.in_flight));
        }
        if self.attempt_timeout.is_zero() || self.give_up_after < self.attempt_timeout {
            let (one, all) = (self.attempt_timeout, self.give_up_after);
            return error(format!(
                "an attempt may take {one:?} of {all:?} in all: give more than nothing, and no less"
            ));
        }
        Topics::new(&self.arn_prefix, &self.topics, self.fifo)
    }
}

impl fmt::Debug for SnsConfig {
    /// Without the endpoint's user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.as_deref().map(|url| match url.rsplit_once('@') {
            Some((_, host)) => host,
            None => url,
        });
        f.debug_struct("SnsConfig")
            .field("arn_prefix", &self.arn_prefix)
            .field("topics", &self.topics)
            .field("fifo", &self.fifo)
            .field("endpoint", &endpoint)
            .field("format", &self.format)
            .field("max_payload", &self.max_payload)
            .field("in_flight", &self.in_flight)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("give_up_after", &self.give_up_after)
            .field("declare", &self.declare)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "arn:aws:sns:eu-west-1:123456789012:";

    #[test]
    fn the_environment_names_the_topics_and_perhaps_an_endpoint() {
        let error = SnsConfig::from_variables(|_| None).expect_err("nothing is set").to_string();
        assert!(error.contains("OUTBOX_SNS_ARN_PREFIX"), "{error}");
        let config = SnsConfig::from_variables(|name| (name == "OUTBOX_SNS_ARN_PREFIX").then(|| PREFIX.into()));
        assert_eq!(config.expect("enough").endpoint, None);
        let both = |name: &str| Some(if name.ends_with("ENDPOINT") { "http://e:1" } else { PREFIX }.to_owned());
        let config = SnsConfig::from_variables(both).expect("enough");
        assert_eq!((config.arn_prefix.as_str(), config.endpoint.as_deref()), (PREFIX, Some("http://e:1")));
    }

    #[test]
    fn what_cannot_work_is_said_with_its_bound() {
        let error = |config: SnsConfig| config.topics().expect_err("must be refused").to_string();
        assert!(error(SnsConfig::new(PREFIX).max_payload(1_036_433)).contains("1036432"));
        assert!(SnsConfig::new(PREFIX).max_payload(1_036_432).topics().is_ok());
        assert!(error(SnsConfig::new(PREFIX).in_flight(0)).contains("1 to 1,000"));
        assert!(error(SnsConfig::new(PREFIX).attempt_timeout(Duration::ZERO)).contains("0ns"));
        assert!(error(SnsConfig::new(PREFIX).give_up_after(Duration::from_secs(1))).contains("4s of 1s"));
    }

    #[test]
    fn the_default_payload_with_everything_else_at_its_bound_is_what_a_topic_takes() {
        let config = SnsConfig::new(PREFIX);
        assert_eq!(config.limits().payload, 250_000);
        assert_eq!(config.max_message(), 262_144);
        assert_eq!(config.max_payload(300_000).max_message(), 312_144);
    }
    #[test]
    fn the_password_of_an_endpoint_is_not_printed() {
        let config = SnsConfig::new(PREFIX).endpoint("http://user:hunter2@host:1/");
        let shown = format!("{config:?} {:?}", crate::SnsTransport::connect(config.clone()));
        assert!(shown.contains("host:1") && !shown.contains("hunter2"), "{shown}");
    }
}
