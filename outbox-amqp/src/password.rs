//! Passwords that change.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use outbox_core::BoxError;
use tokio::task::JoinSet;

use crate::AmqpConfig;

type Answer = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// Where the password of each connection comes from. What it gives is never printed.
#[derive(Clone)]
pub(crate) struct PasswordSource(Arc<dyn Fn() -> Answer + Send + Sync>);

impl PasswordSource {
    /// Cancel safe. A panic is an error.
    pub(crate) async fn ask(&self) -> Result<String, BoxError> {
        let source = self.clone();
        let mut asked = JoinSet::new();
        asked.spawn(async move { (source.0)().await });
        match asked.join_next().await {
            Some(Ok(answer)) => answer.map_err(|e| format!("no password: {e}").into()),
            _ => Err("the source of the password panicked".into()),
        }
    }
}

impl fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordSource")
    }
}

impl AmqpConfig {
    /// Where the password comes from, asked for each connection that is opened, in place of that of the URL: for
    /// passwords that are rotated, and for tokens (RabbitMQ's OAuth 2). A broker that does not end a connection whose
    /// token has expired refuses what it sends: then one more connection is opened, with a new token, where the old one
    /// is older than 10 s. It has as long as a connection may take, 5 s by default. After an error no connection is
    /// opened; the messages that wait say why, and cost no attempt.
    ///
    /// ```no_run
    /// # use outbox_amqp::AmqpConfig;
    /// let config = AmqpConfig::new("amqps://shop@broker")
    ///     .password(|| async { Ok(std::fs::read_to_string("/run/secrets/rabbitmq")?.trim_end().to_owned()) });
    /// ```
    #[must_use]
    pub fn password<F, R>(mut self, source: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        self.password = Some(PasswordSource(Arc::new(move || Box::pin(source()))));
        self
    }
}
