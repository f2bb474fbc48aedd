use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use outbox::Transport;
use outbox::kafka::{KafkaConfig, KafkaTransport};
use serde::Deserialize;

use super::{Format, environment};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaTarget {
    bootstrap: String,
    /// The largest payload in bytes; the broker has to allow it too.
    max_payload: Option<usize>,
    format: Option<Format>,
    /// Options of librdkafka.
    #[serde(default)]
    options: BTreeMap<String, String>,
    /// Options whose values are in the environment, such as `sasl.password`.
    #[serde(default)]
    options_env: BTreeMap<String, String>,
}

impl KafkaTarget {
    pub(super) fn connect(&self) -> Result<Arc<dyn Transport>> {
        let mut config = KafkaConfig::new(&self.bootstrap).format(Format::wire(self.format.as_ref()));
        if let Some(bytes) = self.max_payload {
            config = config.max_payload(bytes);
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
