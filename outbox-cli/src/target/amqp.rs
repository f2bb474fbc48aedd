use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outbox::Transport;
use outbox::amqp::{AmqpConfig, AmqpTransport, OwnedIdentity, OwnedTLSConfig, QueueKind};
use serde::Deserialize;

use super::{Format, file, url};

/// Not printable: the URL may hold a password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AmqpTarget {
    url: Option<String>,
    /// The name of an environment variable, so that no secret stands in the file.
    url_env: Option<String>,
    /// Default: the default exchange, where a topic is the name of a queue.
    exchange: Option<String>,
    /// Queues that are not there are declared.
    declare: Option<Declare>,
    /// PEM files: authorities that are trusted beside the system's, and the client's own certificate with its key.
    root_certificates: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    connection_name: Option<String>,
    deadline_seconds: Option<u64>,
    /// The largest payload in bytes; the broker has to allow it too.
    max_payload: Option<usize>,
    format: Option<Format>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Declare {
    Quorum,
    Classic,
}

impl AmqpTarget {
    pub(super) fn connect(&self) -> Result<Arc<dyn Transport>> {
        let url = url("amqp", self.url.as_ref(), self.url_env.as_ref())?;
        let mut config = AmqpConfig::new(url).format(Format::wire(self.format.as_ref())).tls(self.tls()?);
        if let Some(exchange) = &self.exchange {
            config = config.exchange(exchange);
        }
        if let Some(declare) = self.declare {
            config = config.declare(match declare {
                Declare::Quorum => QueueKind::Quorum,
                Declare::Classic => QueueKind::Classic,
            });
        }
        if let Some(name) = &self.connection_name {
            config = config.connection_name(name);
        }
        if let Some(seconds) = self.deadline_seconds {
            config = config.deadline(Duration::from_secs(seconds));
        }
        if let Some(bytes) = self.max_payload {
            config = config.max_payload(bytes);
        }
        Ok(Arc::new(AmqpTransport::connect(config)?))
    }

    fn tls(&self) -> Result<OwnedTLSConfig> {
        let identity = match (&self.client_certificate, &self.client_key) {
            (None, None) => None,
            (Some(pem), Some(key)) => Some(OwnedIdentity::PKCS8 { pem: file(pem)?, key: file(key)? }),
            _ => bail!("amqp: client_certificate and client_key go together"),
        };
        let chain = self
            .root_certificates
            .as_ref()
            .map(|path| String::from_utf8(file(path)?).with_context(|| format!("{} is no PEM file", path.display())));
        Ok(OwnedTLSConfig { identity, cert_chain: chain.transpose()? })
    }
}
