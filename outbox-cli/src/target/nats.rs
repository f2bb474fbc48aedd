use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use outbox::Transport;
use outbox::nats::{NatsConfig, NatsTransport};
use serde::Deserialize;

use super::{Format, url};

/// Not printable: the URL may hold a password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NatsTarget {
    url: Option<String>,
    /// The name of an environment variable, so that no secret stands in the file.
    url_env: Option<String>,
    credentials_file: Option<PathBuf>,
    root_certificates: Option<PathBuf>,
    /// The subject is this, a dot and the topic. Default: the topic alone.
    subject_prefix: Option<String>,
    /// As the streams' `duplicate_window`. Default: 120.
    dedup_window_seconds: Option<u64>,
    #[serde(default)]
    atomic_batches: bool,
    /// The largest payload in bytes; the server has to allow it too.
    max_payload: Option<usize>,
    format: Option<Format>,
}

impl NatsTarget {
    pub(super) fn connect(&self) -> Result<Arc<dyn Transport>> {
        let url = url("nats", self.url.as_ref(), self.url_env.as_ref())?;
        let mut config = NatsConfig::new(url).format(Format::wire(self.format.as_ref()));
        config = config.atomic_batches(self.atomic_batches);
        if let Some(path) = &self.credentials_file {
            config = config.credentials_file(path);
        }
        if let Some(path) = &self.root_certificates {
            config = config.root_certificates(path);
        }
        if let Some(prefix) = &self.subject_prefix {
            config = config.subject_prefix(prefix);
        }
        if let Some(seconds) = self.dedup_window_seconds {
            config = config.dedup_window(Duration::from_secs(seconds));
        }
        if let Some(bytes) = self.max_payload {
            config = config.max_payload(bytes);
        }
        Ok(Arc::new(NatsTransport::connect(config)?))
    }
}
