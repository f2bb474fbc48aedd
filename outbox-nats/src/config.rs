use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use outbox_core::wire::WireFormat;
use outbox_core::{BoxError, KeyOrder, Limits, TransportCapabilities};

use crate::NatsConfigError;
use crate::servers::Servers;
use crate::wire::{Wire, check_subject};

/// Room in a message beside the payload: headers and what stands between them. Bytes.
pub(crate) const OVERHEAD: usize = 68_576;
/// With [`OVERHEAD`] a server's default `max_payload` of 1 MiB.
const DEFAULT_PAYLOAD: usize = 980_000;
/// JetStream takes 65,535 bytes of headers, with those of the format and the marks between them.
const HEADERS: usize = 60_000;
/// Bytes. With a topic of the largest length the line of a publish is still below a server's `max_control_line` (4 KiB).
const MAX_PREFIX: usize = 1_000;
/// A server refuses to start with a larger `max_payload`.
const MAX_PAYLOAD: usize = (64 << 20) - OVERHEAD;
/// A server's own default for a stream's `duplicate_window`.
const DEFAULT_WINDOW: Duration = Duration::from_secs(120);
const VARIABLE: &str = "OUTBOX_NATS_URL";

pub(crate) type Connector = Arc<dyn Fn() -> BoxFuture<'static, Result<Client, BoxError>> + Send + Sync>;

/// Where NATS is, and how to talk to it.
#[derive(Clone)]
pub struct NatsConfig {
    urls: String,
    options: ConnectOptions,
    credentials_file: Option<PathBuf>,
    connector: Option<Connector>,
    wire: Wire,
    limits: Limits,
    dedup_window: Duration,
    ack_timeout: Duration,
    domain: Option<String>,
    declare: Option<Declaration>,
    atomic_batches: bool,
}

/// A stream to be made where there is none.
#[derive(Debug, Clone)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    pub(crate) subjects: Vec<String>,
}

/// What a checked configuration comes to.
pub(crate) struct Settings {
    pub(crate) connector: Connector,
    /// Whether the connector is the user's own, so that events are not seen.
    pub(crate) foreign: bool,
    pub(crate) servers: Servers,
    pub(crate) options: ConnectOptions,
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) wire: Wire,
    pub(crate) limits: Limits,
    pub(crate) dedup_window: Duration,
    pub(crate) ack_timeout: Duration,
    /// `$JS.API`, or that of a domain.
    pub(crate) api: String,
    pub(crate) declare: Option<Declaration>,
    pub(crate) atomic_batches: bool,
}

impl NatsConfig {
    /// `urls`: some of the servers, as `nats://host:4222` or `tls://host:4222`, with commas between. A user and
    /// password (`nats://user:password@host`) or a token (`nats://token@host`) may stand in them, percent-encoded; they
    /// are never printed.
    pub fn new(urls: impl Into<String>) -> Self {
        let mut limits = Limits::DEFAULT.max_payload(DEFAULT_PAYLOAD);
        limits.headers = HEADERS;
        Self {
            urls: urls.into(),
            options: ConnectOptions::new().name("outbox").ping_interval(Duration::from_secs(5)),
            credentials_file: None,
            connector: None,
            wire: Wire { prefix: None, format: WireFormat::raw() },
            limits,
            dedup_window: DEFAULT_WINDOW,
            ack_timeout: Duration::from_secs(5),
            domain: None,
            declare: None,
            atomic_batches: false,
        }
    }

    /// The servers that the environment variable `OUTBOX_NATS_URL` names.
    ///
    /// # Errors
    /// When it is not set.
    pub fn from_env() -> Result<Self, NatsConfigError> {
        let urls = std::env::var(VARIABLE);
        urls.map(Self::new).map_err(|_| NatsConfigError::new(format!("{VARIABLE} is not set: give nats://host:4222")))
    }

    /// Clients that the application makes itself. The closure is called for the first client, and again for each one
    /// in place of a client that failed: it has to make a new one each time, without
    /// `retry_on_initial_connect`. It runs on a runtime of its own, which ends with the client.
    ///
    /// Of what the server says beside answers nothing is seen here: a publish that is not permitted is taken for one
    /// that is not answered. The methods for credentials, TLS and [`options`](Self::options) do not apply.
    pub fn from_connector<F, Fut, E>(connector: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Client, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let connector: Connector = Arc::new(move || connector().map(|made| made.map_err(Into::into)).boxed());
        Self { connector: Some(connector), ..Self::new("") }
    }

    /// All options of the client at once, in place of those set before and of the defaults (the name `outbox`, a ping
    /// every 5 s). The event callback is the transport's own.
    #[must_use]
    pub fn options(mut self, options: ConnectOptions) -> Self {
        self.options = options;
        self
    }

    /// Credentials: user and password.
    #[must_use]
    pub fn user_and_password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.with(|options| options.user_and_password(user.into(), password.into()))
    }

    /// Credentials: a token.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        self.with(|options| options.token(token.into()))
    }

    /// Credentials: the seed of an NKey.
    #[must_use]
    pub fn nkey(self, seed: impl Into<String>) -> Self {
        self.with(|options| options.nkey(seed.into()))
    }

    /// Credentials: a file with a JWT and an NKey's seed (`.creds`). Read again for each new client.
    #[must_use]
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials_file = Some(path.into());
        self
    }

    /// TLS: trusts the certificate authorities in this PEM file, and no others. Default: those of the system.
    #[must_use]
    pub fn root_certificates(self, pem: impl Into<PathBuf>) -> Self {
        self.with(|options| options.require_tls(true).add_root_certificates(pem.into()))
    }

    /// TLS: shows the server this certificate, with its key; both PEM files.
    #[must_use]
    pub fn client_certificate(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.with(|options| options.require_tls(true).add_client_certificate(certificate.into(), key.into()))
    }

    /// The subject is this, a dot and the topic; 1,000 bytes at most. Default: the topic alone.
    #[must_use]
    pub fn subject_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.wire.prefix = Some(prefix.into());
        self
    }

    /// How messages are written. Default: [raw](WireFormat::raw).
    #[must_use]
    pub fn format(mut self, format: WireFormat) -> Self {
        self.wire.format = format;
        self
    }

    /// The largest payload in bytes. Default 980,000; the server's `max_payload` has to allow it and 68,576 more, and
    /// so has the stream's `max_msg_size` where there is one.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.limits = self.limits.max_payload(bytes);
        self
    }

    /// For how long the streams drop duplicates (`duplicate_window`). Default 2 min, as a stream has by default.
    /// `check` compares it with the streams' own; it should be longer than any retry takes.
    #[must_use]
    pub fn dedup_window(mut self, window: Duration) -> Self {
        self.dedup_window = window;
        self
    }

    /// How long a publish waits while nothing of it is acknowledged. Default 5 s; well below the relay's publish
    /// deadline, so that it can still be found out why.
    #[must_use]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// The JetStream domain of the streams. Default: the server's own.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Makes this stream when the relay checks its topics, unless it is there: on disk, with one replica, and the
    /// [`dedup_window`](Self::dedup_window). Default: streams are the operator's.
    #[must_use]
    pub fn declare<S: Into<String>>(
        mut self,
        stream: impl Into<String>,
        subjects: impl IntoIterator<Item = S>,
    ) -> Self {
        let subjects = subjects.into_iter().map(Into::into).collect();
        self.declare = Some(Declaration { name: stream.into(), subjects });
        self
    }

    /// Stores many messages of a stream at once, all or none, where the stream has `allow_atomic` (servers from 2.12);
    /// else one after another within each key. Many messages of one key then take one round trip instead of one each
    /// ([`KeyOrder::Gapless`]). Worth it for few keys; with many, single messages under way together are as fast or
    /// faster. Default: off.
    #[must_use]
    pub fn atomic_batches(mut self, on: bool) -> Self {
        self.atomic_batches = on;
        self
    }

    fn with(mut self, set: impl FnOnce(ConnectOptions) -> ConnectOptions) -> Self {
        self.options = set(self.options);
        self
    }

    pub(crate) fn capabilities(&self) -> TransportCapabilities {
        let order = if self.atomic_batches { KeyOrder::Gapless } else { KeyOrder::OneInFlight };
        let limits = self.limits.max_payload(self.wire.format.max_payload(self.limits.payload));
        TransportCapabilities::new().key_order(order).limits(limits).dedup_window(self.dedup_window)
    }

    /// Checks everything that can be checked without a server.
    pub(crate) fn settings(self) -> Result<Settings, NatsConfigError> {
        let error = |text: String| Err(NatsConfigError::new(text));
        self.wire.format.check().map_err(|e| NatsConfigError::new(e.to_string()))?;
        let foreign = self.connector.is_some();
        let servers = if foreign { Servers::default() } else { Servers::parse(&self.urls)? };
        self.wire.format.check().map_err(|e| NatsConfigError::new(e.to_string()))?;
        if let Some(prefix) = &self.wire.prefix
            && let Err(e) = check_subject(prefix)
        {
            return error(format!("the subject prefix cannot be used: {e}"));
        }
        if let Some(bytes) = self.wire.prefix.as_ref().map(String::len).filter(|bytes| *bytes > MAX_PREFIX) {
            return error(format!("the subject prefix is {bytes} bytes: shorten it to {MAX_PREFIX}"));
        }
        if self.limits.payload > MAX_PAYLOAD {
            return error(format!("the largest payload is {} bytes: NATS allows {MAX_PAYLOAD}", self.limits.payload));
        }
        if self.ack_timeout.is_zero() {
            return error("the ack timeout is zero: give some seconds".into());
        }
        if let Some(declared) = &self.declare {
            let name = &declared.name;
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || ".*>/\\".contains(c)) {
                return error(format!("the stream name {name:?} is not legal: leave out dots, spaces, *, >, / and \\"));
            }
            if declared.subjects.is_empty() {
                return error(format!("the stream {name} has no subjects: give some, such as \"orders.>\""));
            }
        }
        let api = self.domain.map_or_else(|| "$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
        let options = servers.authorize(self.options);
        let unused: Connector = Arc::new(|| futures_util::future::ready(Err("no connector".into())).boxed());
        Ok(Settings {
            connector: self.connector.unwrap_or(unused),
            foreign,
            servers,
            options,
            credentials_file: self.credentials_file,
            wire: self.wire,
            limits: self.limits,
            dedup_window: self.dedup_window,
            ack_timeout: self.ack_timeout,
            api,
            declare: self.declare,
            atomic_batches: self.atomic_batches,
        })
    }
}

impl fmt::Debug for NatsConfig {
    /// Without the URLs: a password may stand in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsConfig")
            .field("wire", &self.wire)
            .field("limits", &self.limits)
            .field("dedup_window", &self.dedup_window)
            .field("ack_timeout", &self.ack_timeout)
            .field("declare", &self.declare)
            .field("atomic_batches", &self.atomic_batches)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: NatsConfig) -> String {
        config.settings().err().expect("must be refused").to_string()
    }

    #[test]
    fn what_cannot_work_is_refused_before_a_server_is_asked() {
        assert!(error(NatsConfig::new(" ")).contains("nats://host:4222"));
        assert!(error(NatsConfig::new("nats://a").subject_prefix("shop.")).contains("empty token"));
        assert!(error(NatsConfig::new("nats://a").subject_prefix("shop.*")).contains("wildcard"));
        let prefix = |bytes| NatsConfig::new("nats://a").subject_prefix("s".repeat(bytes));
        assert!(error(prefix(1_001)).contains("shorten it to 1000"));
        assert!(prefix(1_000).settings().is_ok());
        let format = WireFormat::cloud_events_binary("");
        assert!(error(NatsConfig::new("nats://a").format(format)).contains("source"));
        assert!(error(NatsConfig::new("nats://a").max_payload(1 << 30)).contains("NATS allows"));
        assert!(error(NatsConfig::new("nats://a").ack_timeout(Duration::ZERO)).contains("zero"));
        assert!(error(NatsConfig::new("nats://a").declare("a.b", ["x"])).contains("stream name"));
        assert!(error(NatsConfig::new("nats://a").declare("a", Vec::<String>::new())).contains("subjects"));
        assert!(NatsConfig::new("nats://a,tls://b:1").declare("a", ["x.>"]).settings().is_ok());
    }

    #[test]
    fn secrets_are_not_printed() {
        let config = NatsConfig::new("nats://app:hunter2@localhost").token("hunter2").nkey("hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!error(NatsConfig::new("nats://app:hunter2@[bad")).contains("hunter2"));
        assert!(!error(NatsConfig::new("ftp://app:hunter2@bad")).contains("hunter2"));
    }
}
