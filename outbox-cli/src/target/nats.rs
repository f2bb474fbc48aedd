use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use outbox::Transport;
use outbox::nats::{NatsConfig, NatsTransport};
use serde::Deserialize;

use super::{Format, environment, url};

/// Not printable: the URL may hold a password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NatsTarget {
    url: Option<String>,
    /// The name of an environment variable, so that no secret stands in the file.
    url_env: Option<String>,
    credentials_file: Option<PathBuf>,
    /// Names of environment variables, with a token and with the seed of an NKey.
    token_env: Option<String>,
    nkey_env: Option<String>,
    /// PEM files: authorities that are trusted instead of the system's, and the client's own certificate with its key.
    root_certificates: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    /// The subject is this, a dot and the topic. Default: the topic alone.
    subject_prefix: Option<String>,
    /// The JetStream domain.
    domain: Option<String>,
    declare: Option<Declare>,
    ack_timeout_seconds: Option<u64>,
    /// As the streams' `duplicate_window`. Default: 120.
    dedup_window_seconds: Option<u64>,
    #[serde(default)]
    atomic_batches: bool,
    /// The largest payload in bytes; the server has to allow it too.
    max_payload: Option<usize>,
    format: Option<Format>,
}

/// A stream that is made where it is not there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declare {
    stream: String,
    subjects: Vec<String>,
}

impl NatsTarget {
    pub(super) fn connect(&self) -> Result<Arc<dyn Transport>> {
        let url = url("nats", self.url.as_ref(), self.url_env.as_ref())?;
        let mut config = NatsConfig::new(url).format(Format::wire(self.format.as_ref()));
        config = self.secured(config.atomic_batches(self.atomic_batches))?;
        if let Some(prefix) = &self.subject_prefix {
            config = config.subject_prefix(prefix);
        }
        if let Some(domain) = &self.domain {
            config = config.domain(domain);
        }
        if let Some(Declare { stream, subjects }) = &self.declare {
            config = config.declare(stream, subjects);
        }
        if let Some(seconds) = self.ack_timeout_seconds {
            config = config.ack_timeout(Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.dedup_window_seconds {
            config = config.dedup_window(Duration::from_secs(seconds));
        }
        if let Some(bytes) = self.max_payload {
            config = config.max_payload(bytes);
        }
        Ok(Arc::new(NatsTransport::connect(config)?))
    }

    fn secured(&self, mut config: NatsConfig) -> Result<NatsConfig> {
        if let Some(path) = &self.credentials_file {
            config = config.credentials_file(path);
        }
        if let Some(name) = &self.token_env {
            config = config.token(environment(name)?);
        }
        if let Some(name) = &self.nkey_env {
            config = config.nkey(environment(name)?);
        }
        if let Some(path) = &self.root_certificates {
            config = config.root_certificates(path);
        }
        match (&self.client_certificate, &self.client_key) {
            (None, None) => Ok(config),
            (Some(certificate), Some(key)) => Ok(config.client_certificate(certificate, key)),
            _ => bail!("nats: client_certificate and client_key go together"),
        }
    }
}
