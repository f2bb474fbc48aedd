use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_sns::Client;
use aws_sdk_sns::config::Builder;
use tokio::sync::OnceCell;

use crate::SnsConfig;

/// The client of SNS, made when it is first needed: AWS's environment may have to be asked over the network.
pub(crate) struct LazyClient {
    /// The caller's own.
    given: Option<Client>,
    made: OnceCell<Client>,
    region: String,
    endpoint: Option<String>,
    attempt_timeout: Duration,
}

impl fmt::Debug for LazyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyClient").field("region", &self.region).finish_non_exhaustive()
    }
}

impl LazyClient {
    pub(crate) fn new(config: &SnsConfig, region: &str, given: Option<Client>) -> Self {
        Self {
            given,
            made: OnceCell::new(),
            region: region.to_owned(),
            endpoint: config.endpoint.clone(),
            attempt_timeout: config.attempt_timeout,
        }
    }

    pub(crate) async fn get(&self) -> &Client {
        self.made.get_or_init(|| self.make()).await
    }

    async fn make(&self) -> Client {
        let config = match &self.given {
            Some(client) => client.config().to_builder(),
            None => {
                let settings = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(self.region.clone()));
                Builder::from(&settings.load().await)
            }
        };
        let config = match &self.endpoint {
            Some(url) => config.endpoint_url(url),
            None => config,
        };
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.attempt_timeout)
            .read_timeout(self.attempt_timeout)
            .operation_attempt_timeout(self.attempt_timeout)
            .operation_timeout(self.attempt_timeout);
        // Retries are ours: of a batch only what failed is sent again. A clock that is wrong the client learns by itself.
        let config = config.region(Region::new(self.region.clone())).retry_config(RetryConfig::disabled());
        Client::from_conf(config.timeout_config(timeouts.build()).build())
    }
}
