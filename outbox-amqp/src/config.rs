use std::fmt;
use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use outbox_core::Limits;
use outbox_core::wire::WireFormat;

use crate::AmqpConfigError;
use crate::password::PasswordSource;

/// Where the URL is found by [`AmqpConfig::from_env`].
const URL: &str = "OUTBOX_AMQP_URL";
/// RabbitMQ 4's default for `max_message_size`. Bytes.
const PAYLOAD: usize = 16 << 20;
/// Seconds. RabbitMQ's own default is 60: a dead broker would be noticed after two minutes.
const HEARTBEAT: u16 = 10;
/// RabbitMQ's own default. Bytes. A client that names no limit to a broker without one would send a byte a frame.
const FRAME_MAX: u32 = 128 << 10;
/// For the connection and its handshake, unless the URL says otherwise.
const CONNECT: Duration = Duration::from_secs(5);
/// Below the relay's default publish deadline of 10 s.
const DEADLINE: Duration = Duration::from_secs(8);

/// Which queues [`AmqpConfig::declare`] declares. All are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueueKind {
    /// Replicated on a majority of the nodes before a message is confirmed.
    Quorum,
    /// On one node, on its disk before a message is confirmed.
    Classic,
}

/// Where RabbitMQ is, and how to talk to it.
#[derive(Clone)]
pub struct AmqpConfig {
    url: String,
    exchange: String,
    format: WireFormat,
    limits: Limits,
    tls: OwnedTLSConfig,
    name: String,
    deadline: Duration,
    declare: Option<QueueKind>,
    pub(crate) password: Option<PasswordSource>,
}

/// What was given, checked.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) uri: AMQPUri,
    pub(crate) exchange: ShortString,
    pub(crate) format: WireFormat,
    pub(crate) limits: Limits,
    pub(crate) tls: OwnedTLSConfig,
    pub(crate) name: String,
    pub(crate) deadline: Duration,
    pub(crate) connect: Duration,
    pub(crate) declare: Option<QueueKind>,
    pub(crate) password: Option<PasswordSource>,
}

impl AmqpConfig {
    /// `url`: `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. A vhost is percent-encoded; none is `/`.
    /// Parameters: `heartbeat` (seconds, default here 10), `connection_timeout` (milliseconds, default here 5,000),
    /// `frame_max` (bytes, default here 131,072), `channel_max`, `auth_mechanism` (`external` takes the user from the
    /// client's certificate). The URL is never printed.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            exchange: String::new(),
            format: WireFormat::raw(),
            limits: Limits::DEFAULT.max_payload(PAYLOAD),
            tls: OwnedTLSConfig::default(),
            name: "outbox".into(),
            deadline: DEADLINE,
            declare: None,
            password: None,
        }
    }

    /// The URL from the environment variable `OUTBOX_AMQP_URL`.
    ///
    /// # Errors
    /// When the variable is not set, or is not UTF-8.
    pub fn from_env() -> Result<Self, AmqpConfigError> {
        let url = std::env::var(URL);
        url.map(Self::new)
            .map_err(|_| AmqpConfigError::new(format!("{URL} is not set: give amqp://user:password@host")))
    }

    /// Publishes to this exchange, with the topic as routing key. Default: the default exchange, where the topic is the
    /// name of a queue.
    #[must_use]
    pub fn exchange(mut self, name: impl Into<String>) -> Self {
        self.exchange = name.into();
        self
    }

    /// How a message becomes headers and body. Default: [`WireFormat::raw`].
    #[must_use]
    pub fn format(mut self, format: WireFormat) -> Self {
        self.format = format;
        self
    }

    /// The largest payload in bytes. Default 16 MiB, which is what RabbitMQ 4 takes unless its `max_message_size` says
    /// otherwise.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.limits = self.limits.max_payload(bytes);
        self
    }

    /// Certificates that are trusted beside the system's, and the client's own certificate. For `amqps://` URLs.
    #[must_use]
    pub fn tls(mut self, tls: OwnedTLSConfig) -> Self {
        self.tls = tls;
        self
    }

    /// What RabbitMQ shows as the connection's name. Default `outbox`.
    #[must_use]
    pub fn connection_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// After how long a publish ends, and a check of the topics; what the broker has not confirmed by then is sent
    /// again. Default 8 s. It should be shorter than the relay's publish deadline (default 10 s), so that the reason is
    /// said as well. What is confirmed is said within 200 ms: a queue that does not answer does not hold up the others.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Lets [`check`](outbox_core::Transport::check) declare, when the relay first has its lease: a durable queue of
    /// this kind for each exact topic, with the topic's name; and where an [exchange](Self::exchange) is named, this as
    /// a durable topic exchange, and the bindings. What exists and differs is left as it is, and reported. Default:
    /// nothing is declared.
    #[must_use]
    pub fn declare(mut self, queues: QueueKind) -> Self {
        self.declare = Some(queues);
        self
    }

    pub(crate) fn settings(self) -> Result<Settings, AmqpConfigError> {
        let error = |text: String| Err(AmqpConfigError::new(text));
        self.format.check().map_err(|e| AmqpConfigError::new(e.to_string()))?;
        // The parser's own text may quote the URL, and with it the password.
        let Ok(mut uri) = self.url.parse::<AMQPUri>() else {
            return error("the URL is not understood: give amqp://user:password@host:port/vhost, or amqps://".into());
        };
        // "amqp://host/" names no vhost either.
        if uri.vhost.is_empty() {
            uri.vhost = "/".into();
        }
        // The client would connect to localhost instead.
        let authority = self.url.split_once("://").map_or("", |(_, rest)| rest);
        if authority.split('/').next().is_some_and(|authority| authority.contains('[')) {
            return error("the URL has an IPv6 address, which the client does not take: give a host name".into());
        }
        let Ok(exchange) = ShortString::try_new(self.exchange.as_str()) else {
            return error(format!("the exchange's name is {} bytes, AMQP allows 255: shorten it", self.exchange.len()));
        };
        if self.declare.is_some() && self.exchange.starts_with("amq.") {
            return error("exchanges named amq.* cannot be declared: leave out declare, or name another".into());
        }
        if self.deadline.is_zero() {
            return error("the deadline is 0: leave it out for 8 s".into());
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        uri.query.frame_max = uri.query.frame_max.filter(|bytes| *bytes > 0).or(Some(FRAME_MAX));
        let connect = uri.query.connection_timeout.map_or(CONNECT, Duration::from_millis);
        Ok(Settings {
            uri,
            exchange,
            limits: self.limits.max_payload(self.format.max_payload(self.limits.payload)),
            format: self.format,
            tls: self.tls,
            name: self.name,
            deadline: self.deadline,
            connect,
            declare: self.declare,
            password: self.password,
        })
    }
}

impl fmt::Debug for AmqpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConfig")
            .field("exchange", &self.exchange)
            .field("format", &self.format)
            .field("limits", &self.limits)
            .field("connection_name", &self.name)
            .field("deadline", &self.deadline)
            .field("declare", &self.declare)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.uri.authority;
        f.debug_struct("Settings")
            .field("host", &at.host)
            .field("port", &at.port)
            .field("vhost", &self.uri.vhost)
            .field("exchange", &self.exchange.as_str())
            .field("connection_name", &self.name)
            .field("deadline", &self.deadline)
            .field("declare", &self.declare)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: AmqpConfig) -> String {
        config.settings().expect_err("must be refused").to_string()
    }

    #[test]
    fn what_the_url_does_not_say_has_a_default() {
        let settings = AmqpConfig::new("amqp://broker").settings().expect("valid");
        assert_eq!((settings.uri.query.heartbeat, settings.connect), (Some(10), Duration::from_secs(5)));
        assert_eq!((settings.uri.authority.port, settings.uri.vhost.as_str()), (5672, "/"));
        assert_eq!(settings.uri.query.frame_max, Some(131_072));
        for url in ["amqp://broker/", "amqp://u:p@broker:5672/?heartbeat=3", "amqp://broker?heartbeat=3"] {
            assert_eq!(AmqpConfig::new(url).settings().expect("valid").uri.vhost, "/", "{url}");
        }
        let url = "amqps://u:p@broker/%2Fv?heartbeat=3&connection_timeout=700&auth_mechanism=external";
        let settings = AmqpConfig::new(url).settings().expect("valid");
        assert_eq!((settings.uri.query.heartbeat, settings.connect), (Some(3), Duration::from_millis(700)));
        assert_eq!((settings.uri.authority.port, settings.uri.vhost.as_str()), (5671, "/v"));
    }

    #[test]
    fn what_cannot_work_is_said_with_advice() {
        for url in ["", "http://broker", "broker:5672", "amqp:broker", "amqp://broker?heartbeat=often"] {
            assert!(error(AmqpConfig::new(url)).contains("amqp://user:password@host:port/vhost"), "{url}");
        }
        assert!(error(AmqpConfig::new("amqp://u:p@[::1]:5672/%2f")).contains("IPv6"));
        let config = AmqpConfig::new("amqp://broker");
        assert!(error(config.clone().exchange("x".repeat(256))).contains("256 bytes"));
        assert!(error(config.clone().exchange("amq.topic").declare(QueueKind::Quorum)).contains("amq."));
        assert!(error(config.deadline(Duration::ZERO)).contains("8 s"));
    }

    #[test]
    fn secrets_are_never_printed() {
        let url = "amqp://user:hunter2@broker/%2f?heartbeat=5";
        let config = AmqpConfig::new(url);
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!format!("{:?}", config.settings().expect("valid")).contains("hunter2"));
        // The parser quotes this one.
        assert!(!error(AmqpConfig::new("user:hunter2")).contains("hunter2"));
        assert!(!error(AmqpConfig::new("http://user:hunter2@broker")).contains("hunter2"));
    }
}
