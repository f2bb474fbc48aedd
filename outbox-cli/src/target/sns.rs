use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use outbox::Transport;
use outbox::sns::{SnsConfig, SnsTransport};
use serde::Deserialize;

use super::Format;

/// Region and credentials are AWS's own: environment, profile, role.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnsTarget {
    /// What stands before the name in the topics' ARNs, with the colon at its end.
    arn_prefix: String,
    /// Every topic is a FIFO topic: `orders` is `orders.fifo`.
    #[serde(default)]
    fifo: bool,
    /// ARNs of topics that have another name or account.
    #[serde(default)]
    topics: BTreeMap<String, String>,
    endpoint: Option<String>,
    /// Topics that are not there are created.
    #[serde(default)]
    declare: bool,
    /// Requests under way at once. Default: 32.
    in_flight: Option<usize>,
    attempt_timeout_seconds: Option<u64>,
    give_up_after_seconds: Option<u64>,
    /// The largest payload in bytes; the topics have to allow it too.
    max_payload: Option<usize>,
    format: Option<Format>,
}

impl SnsTarget {
    pub(super) fn connect(&self) -> Result<Arc<dyn Transport>> {
        let mut config = SnsConfig::new(&self.arn_prefix).format(Format::wire(self.format.as_ref()));
        if self.fifo {
            config = config.fifo();
        }
        for (topic, arn) in &self.topics {
            config = config.topic(topic, arn);
        }
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint(endpoint);
        }
        if self.declare {
            config = config.declare();
        }
        if let Some(requests) = self.in_flight {
            config = config.in_flight(requests);
        }
        if let Some(seconds) = self.attempt_timeout_seconds {
            config = config.attempt_timeout(Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.give_up_after_seconds {
            config = config.give_up_after(Duration::from_secs(seconds));
        }
        if let Some(bytes) = self.max_payload {
            config = config.max_payload(bytes);
        }
        Ok(Arc::new(SnsTransport::connect(config)?))
    }
}
