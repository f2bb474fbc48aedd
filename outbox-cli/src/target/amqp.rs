use std::sync::Arc;

use anyhow::Result;
use outbox::Transport;
use outbox::amqp::{AmqpConfig, AmqpTransport};
use serde::Deserialize;

use super::{Format, url};

/// Not printable: the URL may hold a password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AmqpTarget {
    url: Option<String>,
    /// The name of an environment variable, so that no secret stands in the file.
    url_env: Option<String>,
    /// Default: the default exchange, where a topic is the name of a queue.
    exchange: Option<String>,
    /// The largest payload in bytes; the broker has to allow it too.
    max_payload: Option<usize>,
    format: Option<Format>,
}

impl AmqpTarget {
    pub(super) fn connect(&self) -> Result<Arc<dyn Transport>> {
        let url = url("amqp", self.url.as_ref(), self.url_env.as_ref())?;
        let mut config = AmqpConfig::new(url).format(Format::wire(self.format.as_ref()));
        if let Some(exchange) = &self.exchange {
            config = config.exchange(exchange);
        }
        if let Some(bytes) = self.max_payload {
            config = config.max_payload(bytes);
        }
        Ok(Arc::new(AmqpTransport::connect(config)?))
    }
}
