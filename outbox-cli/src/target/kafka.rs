use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use outbox::Transport;
use outbox::kafka::{KafkaConfig, KafkaTransport};
use serde::Deserialize;

use super::{Format, environment};

/// Not printable: the URL and the options may hold secrets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaTarget {
    /// `host:port`, with commas between; or a URL in its place.
    bootstrap: Option<String>,
    url: Option<String>,
    /// The name of an environment variable, so that no secret stands in the file.
    url_env: Option<String>,
    /// The largest payload in bytes; the broker has to allow it too.
    max_payload: Option<usize>,
    format: Option<Format>,
    declare: Option<Declare>,
    /// Options of librdkafka.
    #[serde(default)]
    options: BTreeMap<String, String>,
    /// Options whose values are in the environment, such as `sasl.password`.
    #[serde(default)]
    options_env: BTreeMap<String, String>,
}

/// Topics that are not there are created.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declare {
    partitions: u32,
    replication: u16,
}

impl KafkaTarget {
    pub(super) fn connect(&self) -> Result<Arc<dyn Transport>> {
        let config = match (&self.bootstrap, &self.url, &self.url_env) {
            (Some(bootstrap), None, None) => KafkaConfig::new(bootstrap),
            (None, Some(url), None) => KafkaConfig::from_url(url)?,
            (None, None, Some(name)) => KafkaConfig::from_url(&environment(name)?)?,
            _ => bail!("kafka needs one of bootstrap, url and url_env"),
        };
        let mut config = config.format(Format::wire(self.format.as_ref()));
        if let Some(bytes) = self.max_payload {
            config = config.max_payload(bytes);
        }
        if let Some(Declare { partitions, replication }) = self.declare {
            config = config.declare(partitions, replication);
        }
        for (name, value) in &self.options {
            config = config.option(name, value);
        }
        for (name, variable) in &self.options_env {
            config = config.option(name, environment(variable)?);
        }
        Ok(Arc::new(KafkaTransport::connect(config)?))
    }
}
