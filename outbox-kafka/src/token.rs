//! Tokens of SASL/OAUTHBEARER.

use std::fmt;
use std::pin::Pin;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outbox_core::BoxError;
use rdkafka::client::OAuthToken;
use tokio::runtime::Handle;

use crate::{KafkaConfig, KafkaConfigError};

/// How long a source may take. Nothing is confirmed meanwhile, and the relay's publish deadline is 10 s by default.
const PATIENCE: Duration = Duration::from_secs(5);

/// A token for SASL/OAUTHBEARER, see [`KafkaConfig::tokens`]. Its value is never printed.
#[derive(Clone)]
pub struct KafkaToken {
    value: String,
    principal: String,
    expires: SystemTime,
}

impl KafkaToken {
    /// `value`: as brokers take it, such as a JWT. `expires`: when they do no more; at four fifths of the time until
    /// then the next one is asked for.
    pub fn new(value: impl Into<String>, expires: SystemTime) -> Self {
        Self { value: value.into(), principal: String::new(), expires }
    }

    /// Whose it is, for the client's own log. Brokers read that from the token. Default: empty.
    #[must_use]
    pub fn principal(mut self, principal: impl Into<String>) -> Self {
        self.principal = principal.into();
        self
    }
}

impl fmt::Debug for KafkaToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, expires, .. } = self;
        f.debug_struct("KafkaToken").field("principal", principal).field("expires", expires).finish_non_exhaustive()
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<KafkaToken, BoxError>> + Send>>;

/// As it was given.
#[derive(Clone)]
pub(crate) struct Source(Arc<dyn Fn() -> Answer + Send + Sync>);

impl KafkaConfig {
    /// Where tokens for SASL's mechanism `OAUTHBEARER` come from, such as an identity provider, or the signer of
    /// a cloud's own Kafka. Needs the feature `ssl`.
    ///
    /// Asked when a client starts, unless there is one in the first half of its life, and again at four fifths of a
    /// token's life; in the runtime in which [`connect`](crate::KafkaTransport::connect) is called, which is an error
    /// outside of one. It may take 5 s; nothing is confirmed meanwhile. After an error it is asked again 10 s later,
    /// and what waits for the broker stays unknown and costs no attempt.
    ///
    /// `sasl.mechanism` is `OAUTHBEARER` then. `security.protocol` is `SASL_SSL`, unless it is set to one without TLS.
    /// Topics cannot be declared, and their settings not be looked at before the first publish: rdkafka's client
    /// [takes no tokens](https://github.com/fede1024/rust-rdkafka/issues/757) for that.
    ///
    /// ```no_run
    /// # use outbox_kafka::{KafkaConfig, KafkaToken};
    /// use std::time::{Duration, SystemTime};
    ///
    /// let config = KafkaConfig::new("broker:9098").tokens(|| async {
    ///     let token = std::fs::read_to_string("/run/secrets/kafka")?; // Written anew every hour.
    ///     Ok(KafkaToken::new(token.trim_end(), SystemTime::now() + Duration::from_secs(600)))
    /// });
    /// ```
    #[must_use]
    pub fn tokens<F, R>(mut self, source: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<KafkaToken, BoxError>> + Send + 'static,
    {
        self.tokens = Some(Source(Arc::new(move || Box::pin(source()))));
        self
    }
}

/// A source, and where it is asked.
#[derive(Clone)]
pub(crate) struct Tokens {
    source: Source,
    runtime: Handle,
    /// What was given last, and when: a client that is replaced need not ask for another.
    last: Arc<Mutex<Option<(KafkaToken, SystemTime)>>>,
}

impl Tokens {
    pub(crate) fn new(source: Source) -> Result<Self, KafkaConfigError> {
        let runtime = Handle::try_current().map_err(|_| {
            KafkaConfigError::new("tokens are asked for in a tokio runtime: call KafkaTransport::connect within one")
        })?;
        Ok(Self { source, runtime, last: Arc::default() })
    }

    /// One that is not past half of its life, or a new one. Blocks, for [`PATIENCE`] at most: never on a thread of the
    /// runtime.
    pub(crate) fn ask(&self) -> Result<OAuthToken, BoxError> {
        let kept = self.last().clone().filter(|(token, since)| {
            let now = SystemTime::now();
            token.expires.duration_since(now).is_ok_and(|left| now.duration_since(*since).is_ok_and(|old| old < left))
        });
        let token = match kept {
            Some((token, _)) => token,
            None => self.ask_source()?,
        };
        let expires = token.expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(OAuthToken {
            token: token.value,
            principal_name: token.principal,
            lifetime_ms: i64::try_from(expires).unwrap_or(i64::MAX),
        })
    }

    /// A broker refused what was given last.
    pub(crate) fn forget(&self) {
        *self.last() = None;
    }

    fn last(&self) -> MutexGuard<'_, Option<(KafkaToken, SystemTime)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask_source(&self) -> Result<KafkaToken, BoxError> {
        let (answer, answered) = sync_channel(1);
        let source = self.source.clone();
        // What panics drops its sender.
        let asked = self.runtime.spawn(async move { _ = answer.send((source.0)().await) });
        let token = match answered.recv_timeout(PATIENCE) {
            Ok(answer) => answer?,
            Err(RecvTimeoutError::Timeout) => {
                asked.abort();
                return Err(format!("the source of tokens gave none within {PATIENCE:?}").into());
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the source of tokens panicked, or its runtime ended".into());
            }
        };
        // The client would quote one with other signs.
        if !token.value.bytes().all(|sign| matches!(sign, b'!'..=b'~')) {
            return Err("the source of tokens gave one with signs that are not visible ASCII".into());
        }
        *self.last() = Some((token.clone(), SystemTime::now()));
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask<R>(source: impl Fn() -> R + Send + Sync + 'static) -> Result<OAuthToken, String>
    where
        R: Future<Output = Result<KafkaToken, BoxError>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let _inside = runtime.enter();
        let source = KafkaConfig::new("b:1").tokens(source).tokens.expect("just set");
        Tokens::new(source).expect("in a runtime").ask().map_err(|e| e.to_string())
    }

    #[test]
    fn a_source_is_asked_in_its_runtime_and_its_faults_are_said() {
        let expires = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let token = ask(move || async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(KafkaToken::new("hunter2", expires).principal("shop"))
        });
        let token = token.expect("a token");
        assert_eq!((&*token.token, &*token.principal_name), ("hunter2", "shop"));
        assert_eq!(token.lifetime_ms, 1_700_000_000_123);
        let said = |said: Result<OAuthToken, String>| said.map(|_| ()).expect_err("no token");
        assert_eq!(said(ask(|| async { Err("the provider is away".into()) })), "the provider is away");
        let odd = said(ask(move || async move { Ok(KafkaToken::new("\u{feff}hunter2", expires)) }));
        assert!(odd.contains("visible ASCII") && !odd.contains("hunter2"), "{odd}");
        assert!(said(ask(|| async { panic!("a fault of the source's") })).contains("panicked"));
        assert!(said(ask(std::future::pending::<Result<KafkaToken, BoxError>>)).contains("within 5s"));
    }

    #[test]
    fn a_new_client_takes_the_token_that_is_there_until_half_of_its_life_or_its_refusal() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let _inside = runtime.enter();
        let asked = Arc::new(Mutex::new(0_u64));
        let times = asked.clone();
        let source = move || {
            let mut n = times.lock().unwrap();
            *n += 1;
            // The first one is at its end.
            let expires = SystemTime::now() + Duration::from_secs(if *n == 1 { 0 } else { 3_600 });
            let token = KafkaToken::new(format!("token-{n}"), expires);
            async move { Ok(token) }
        };
        let tokens = Tokens::new(KafkaConfig::new("b:1").tokens(source).tokens.expect("just set")).expect("a runtime");
        let ask = || tokens.ask().map(|token| token.token).expect("a token");
        assert_eq!((ask(), ask(), ask()), ("token-1".into(), "token-2".into(), "token-2".into()));
        tokens.forget();
        assert_eq!((ask(), ask()), ("token-3".into(), "token-3".into()));
        assert_eq!(*asked.lock().unwrap(), 3);
    }

    #[test]
    fn a_token_is_never_printed_and_needs_a_runtime() {
        let shown = format!("{:?}", KafkaToken::new("hunter2", UNIX_EPOCH).principal("shop"));
        assert!(shown.contains("shop") && !shown.contains("hunter2"), "{shown}");
        let config = KafkaConfig::new("b:1").tokens(|| async { Err("none".into()) });
        let error = Tokens::new(config.tokens.expect("just set")).map(|_| ()).expect_err("outside of a runtime");
        assert!(error.to_string().contains("KafkaTransport::connect"), "{error}");
    }
}
