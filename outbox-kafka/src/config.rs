use std::collections::BTreeMap;
use std::fmt;

use outbox_core::Limits;
use outbox_core::wire::WireFormat;
use rdkafka::ClientConfig;

use crate::KafkaConfigError;
use crate::token::Source;

/// What the order within a key and the delivery rest on: with the names under which librdkafka knows it.
const FIXED: [(&str, &str); 4] = [
    ("enable.idempotence", "true"),
    ("enable.gapless.guarantee", "true"),
    ("acks", "all"),
    // A message that the client gave up on would leave a gap; the relay's publish deadline bounds the time instead.
    ("message.timeout.ms", "0"),
];

/// Further names of what is fixed, and what would undo it.
const REFUSED: [(&str, &str); 8] = [
    ("request.required.acks", "it is always all"),
    ("delivery.timeout.ms", "the relay's publish deadline bounds the time"),
    ("retries", "the client tries until the relay's publish deadline"),
    ("message.send.max.retries", "the client tries until the relay's publish deadline"),
    ("transactional.id", "the relay settles on acknowledgements, not on transactions"),
    ("message.max.bytes", "give the largest payload to KafkaConfig::max_payload"),
    ("bootstrap.servers", "give it to KafkaConfig::new"),
    ("metadata.broker.list", "give it to KafkaConfig::new"),
];

const DEFAULTS: [(&str, &str); 8] = [
    ("client.id", "outbox"),
    // As Java clients do; librdkafka's own default differs.
    ("partitioner", "murmur2_random"),
    ("linger.ms", "1"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.max.ms", "1000"),
    // A topic that is not there is said within the publish deadline, which should be 3 s or more.
    ("topic.metadata.propagation.max.ms", "1000"),
    // The relay's window bounds what is in flight, not the client.
    ("queue.buffering.max.messages", "1000000"),
    // Errors of brokers reach the outcomes; what is left for the log is noise.
    ("log_level", "3"),
];

/// Two names of one option: the client would take whichever it is given last, in no order.
const ALIASES: [(&str, &str); 4] = [
    ("sasl.mechanisms", "sasl.mechanism"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
];

/// Room in a record beside the payload: key, headers, framing. Bytes.
const OVERHEAD: usize = 100_000;
/// librdkafka's default for `message.max.bytes` and `batch.size`.
pub(crate) const DEFAULT_RECORD: usize = 1_000_000;
/// librdkafka's upper bound for `message.max.bytes`.
const MAX_RECORD: usize = 1_000_000_000;

/// Where Kafka is, and how to talk to it.
#[derive(Clone)]
pub struct KafkaConfig {
    bootstrap: String,
    pub(crate) options: BTreeMap<String, String>,
    limits: Limits,
    format: WireFormat,
    declare: Option<Declare>,
    pub(crate) tokens: Option<Source>,
}

/// How topics are made that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Declare {
    pub(crate) partitions: u32,
    pub(crate) replication: u16,
}

impl KafkaConfig {
    /// `bootstrap`: some of the brokers, as `host:port` with commas between. For a URL see
    /// [`from_url`](Self::from_url).
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            options: BTreeMap::new(),
            limits: Limits::KAFKA,
            format: WireFormat::raw(),
            declare: None,
            tokens: None,
        }
    }

    /// An [option of librdkafka](https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md), such as
    /// `security.protocol`, `sasl.password`, `compression.type`, `linger.ms` (default here 1). Values are never
    /// printed.
    ///
    /// What order and delivery rest on is refused by [`connect`](crate::KafkaTransport::connect): `acks`,
    /// `enable.idempotence`, `enable.gapless.guarantee`, `message.timeout.ms` and their other names, `retries`,
    /// `transactional.id`, `message.max.bytes` (see [`max_payload`](Self::max_payload)). So is the mechanism
    /// `OAUTHBEARER` without a source of tokens: [`tokens`](Self::tokens), or librdkafka's own.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        self.options.insert(alias.map_or(name, |(_, usual)| (*usual).to_owned()), value.into());
        self
    }

    /// The largest payload in bytes. Default 900,000; the topic's `max.message.bytes` has to allow it and 100,000 more.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.limits = self.limits.max_payload(bytes);
        self
    }

    /// How a message becomes value and headers. Default: [`WireFormat::raw`], as the crate's documentation shows it.
    #[must_use]
    pub fn format(mut self, format: WireFormat) -> Self {
        self.format = format;
        self
    }

    /// Creates the relay's exact topics that do not exist, when the relay first has its lease (see
    /// [`Transport::check`](outbox_core::Transport::check)), with so many partitions and so many replicas of each.
    /// From three replicas on, two must store a message before it counts (`min.insync.replicas`). Topics that exist are
    /// left as they are. Of a relay without exact topics none is created, and a finding says so. Default: nothing is
    /// created.
    #[must_use]
    pub fn declare(mut self, partitions: u32, replication: u16) -> Self {
        self.declare = Some(Declare { partitions, replication });
        self
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits.max_payload(self.format.max_payload(self.limits.payload))
    }

    pub(crate) fn wire_format(&self) -> &WireFormat {
        &self.format
    }

    pub(crate) fn declaration(&self) -> Option<Declare> {
        self.declare
    }

    /// The largest record that a payload within the limits makes, in bytes.
    pub(crate) fn largest_record(&self) -> usize {
        self.limits.payload.saturating_add(OVERHEAD)
    }

    /// The protocol, in lower case. A client that has no source of tokens would wait for one for ever.
    fn security(&self) -> Result<Option<String>, KafkaConfigError> {
        let error = |text: &str| Err(KafkaConfigError::new(text));
        let given = |name: &str| self.options.get(name).map(|value| value.to_ascii_lowercase());
        let is = |name, value| given(name).as_deref() == Some(value);
        let protocol = given("security.protocol");
        let mechanism = given("sasl.mechanism");
        let bearer = mechanism.as_deref() == Some("oauthbearer");
        // With either the client asks nobody.
        let own_tokens = is("sasl.oauthbearer.method", "oidc") || is("enable.sasl.oauthbearer.unsecure.jwt", "true");
        match &self.tokens {
            None if bearer && !own_tokens => {
                error("OAUTHBEARER has no source of tokens: give KafkaConfig::tokens, or use another mechanism")
            }
            None => Ok(protocol),
            Some(_) if !cfg!(feature = "ssl") => {
                error("OAUTHBEARER is not built in: enable the feature `ssl` of outbox-kafka (`kafka-ssl` of outbox)")
            }
            Some(_) if own_tokens => {
                error("KafkaConfig::tokens are given, and a source of librdkafka's own as well: leave one of them out")
            }
            Some(_) if mechanism.is_some() && !bearer => {
                error("KafkaConfig::tokens are for the mechanism OAUTHBEARER: leave sasl.mechanism out")
            }
            Some(_) if self.declare.is_some() => {
                error("topics cannot be declared with tokens: leave KafkaConfig::declare out, and create them by hand")
            }
            Some(_) => Ok(Some(match protocol.as_deref() {
                None | Some("ssl") => "sasl_ssl".into(),
                Some("plaintext") => "sasl_plaintext".into(),
                Some(other) => other.to_owned(),
            })),
        }
    }

    /// The settings of the client.
    pub(crate) fn client(&self) -> Result<ClientConfig, KafkaConfigError> {
        let error = |text: String| Err(KafkaConfigError::new(text));
        self.format.check().map_err(|e| KafkaConfigError::new(e.to_string()))?;
        if self.bootstrap.trim().is_empty() {
            return error("no Kafka broker is named: give host:port, with commas between several".into());
        }
        if self.bootstrap.contains("://") {
            return error("the brokers are given as a URL: give it to KafkaConfig::from_url, or give host:port".into());
        }
        let record = self.largest_record().max(DEFAULT_RECORD);
        if record > MAX_RECORD {
            let (given, most) = (self.limits.payload, MAX_RECORD - OVERHEAD);
            return error(format!("the largest payload is {given} bytes: Kafka's client allows {most}"));
        }
        if let Some(Declare { partitions, replication }) = self.declare
            && (!(1..=100_000).contains(&partitions) || !(1..=1_000).contains(&replication))
        {
            return error("topics are declared with 1 to 100,000 partitions, and 1 to 1,000 replicas of each".into());
        }
        let protocol = self.security()?;
        if !cfg!(feature = "ssl") && protocol.as_ref().is_some_and(|protocol| protocol.ends_with("ssl")) {
            return error(
                "TLS is not built in: enable the feature `ssl` of outbox-kafka (`kafka-ssl` of outbox)".into(),
            );
        }
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.bootstrap).set("message.max.bytes", record.to_string());
        DEFAULTS.iter().for_each(|(name, value)| _ = client.set(*name, *value));
        for (name, value) in &self.options {
            let fixed = FIXED.iter().find(|(fixed, _)| fixed == name).map(|(_, value)| format!("it is always {value}"));
            let refused = REFUSED.iter().find(|(refused, _)| refused == name).map(|(_, why)| (*why).to_owned());
            if let Some(why) = fixed.or(refused) {
                return error(format!("the option {name} cannot be set: {why}; leave it out"));
            }
            client.set(name, value);
        }
        if let Some(protocol) = protocol.filter(|_| self.tokens.is_some()) {
            client.set("security.protocol", protocol).set("sasl.mechanism", "OAUTHBEARER");
        }
        FIXED.iter().for_each(|(name, value)| _ = client.set(*name, *value));
        Ok(client)
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Refused by `connect`; a password may stand in it until then.
        let bootstrap = if self.bootstrap.contains("://") { "a URL" } else { &self.bootstrap };
        f.debug_struct("KafkaConfig")
            .field("bootstrap", &bootstrap)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .field("limits", &self.limits)
            .field("format", &self.format)
            .field("declare", &self.declare)
            .field("tokens", &self.tokens.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_order_and_delivery_rest_on_cannot_be_changed() {
        let names = FIXED.iter().map(|(name, _)| *name).chain(REFUSED.iter().map(|(name, _)| *name));
        for name in names {
            let error = KafkaConfig::new("b:1").option(name, "1").client().expect_err(name).to_string();
            assert!(error.contains(name) && error.contains("leave it out"), "{error}");
        }
        let client = KafkaConfig::new("b:1").option("linger.ms", "7").client().expect("valid");
        assert_eq!(client.get("linger.ms"), Some("7"));
        for (name, value) in FIXED {
            assert_eq!(client.get(name), Some(value));
        }
    }

    #[test]
    fn an_option_has_one_name() {
        let config = KafkaConfig::from_url("kafka://u:p@b?sasl.mechanisms=SCRAM-SHA-512&queue.buffering.max.ms=7");
        let client = config.expect("valid").client().expect("valid");
        assert_eq!((client.get("sasl.mechanism"), client.get("sasl.mechanisms")), (Some("SCRAM-SHA-512"), None));
        assert_eq!((client.get("linger.ms"), client.get("queue.buffering.max.ms")), (Some("7"), None));
    }

    #[test]
    fn a_mechanism_without_tokens_is_refused_before_it_waits_for_them() {
        for name in ["sasl.mechanism", "sasl.mechanisms"] {
            let config = KafkaConfig::new("b:1").option(name, "OAUTHBEARER");
            assert!(config.client().expect_err(name).to_string().contains("OAUTHBEARER"));
            assert!(config.option("enable.sasl.oauthbearer.unsecure.jwt", "true").client().is_ok());
        }
        assert!(KafkaConfig::new("b:1").option("sasl.mechanism", "PLAIN").client().is_ok());
    }

    #[test]
    #[cfg(feature = "ssl")]
    fn tokens_bring_their_mechanism_and_tls() {
        let config = || KafkaConfig::new("b:1").tokens(|| async { Err("none".into()) });
        for (given, meant) in [
            (None, "sasl_ssl"),
            (Some("SSL"), "sasl_ssl"),
            (Some("plaintext"), "sasl_plaintext"),
            (Some("SASL_PLAINTEXT"), "sasl_plaintext"),
        ] {
            let config = given.into_iter().fold(config(), |config, given| config.option("security.protocol", given));
            let client = config.client().expect("valid");
            assert_eq!(client.get("security.protocol"), Some(meant));
            assert_eq!(client.get("sasl.mechanism"), Some("OAUTHBEARER"));
        }
        let error = config().option("sasl.mechanism", "PLAIN").client().expect_err("both").to_string();
        assert!(error.contains("leave sasl.mechanism out"), "{error}");
        for (name, value) in [("sasl.oauthbearer.method", "oidc"), ("enable.sasl.oauthbearer.unsecure.jwt", "true")] {
            let error = config().option(name, value).client().expect_err("both").to_string();
            assert!(error.contains("leave one of them out"), "{error}");
        }
        let error = config().declare(1, 1).client().expect_err("both").to_string();
        assert!(error.contains("by hand"), "{error}");
    }

    #[test]
    fn bounds_are_said_and_secrets_are_not() {
        assert!(KafkaConfig::new(" ").client().expect_err("empty").to_string().contains("host:port"));
        let url = KafkaConfig::new("kafka://shop:hunter2@localhost:9092");
        let error = url.client().expect_err("a URL").to_string();
        assert!(error.contains("from_url") && !format!("{error} {url:?}").contains("hunter2"), "{error} {url:?}");
        for (partitions, replication) in [(0, 1), (1, 0), (200_000, 1)] {
            let error = KafkaConfig::new("b:1").declare(partitions, replication).client().expect_err("out of bounds");
            assert!(error.to_string().contains("100,000 partitions"), "{error}");
        }
        let error = KafkaConfig::new("b:1").max_payload(2_000_000_000).client().expect_err("too large").to_string();
        assert!(error.contains("999900000"), "{error}");
        let client = KafkaConfig::new("b:1").max_payload(5_000_000).client().expect("valid");
        assert_eq!(client.get("message.max.bytes"), Some("5100000"));
        let shown = format!("{:?}", KafkaConfig::new("b:1").option("sasl.password", "hunter2"));
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }
}
