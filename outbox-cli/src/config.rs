use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::retry::RetryConfig;
use crate::target::{Target, environment};

/// `outbox.toml`: which outboxes there are, and which relays carry their messages where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// One for each set of tables.
    pub(crate) outbox: Vec<OutboxConfig>,
}

/// Not printable: the URL may hold a password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutboxConfig {
    url: Option<String>,
    /// The name of an environment variable, so that no secret stands in the file.
    url_env: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) prefix: Option<String>,
    /// How long messages are kept after every relay has settled them. Default: 7.
    keep_for_days: Option<u32>,
    /// Nothing is deleted.
    #[serde(default)]
    keep_forever: bool,
    #[serde(default)]
    pub(crate) relay: Vec<RelayConfig>,
}

/// How long delivered messages are kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// As is usual for the database: 7 days on a log, not at all on MySQL and MariaDB.
    Usual,
    For(Duration),
    Forever,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelayConfig {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    pub(crate) to: Target,
    /// `earliest` or `now`: where a name that nobody ever ran starts.
    #[serde(default)]
    pub(crate) start: Start,
    pub(crate) batch: Option<usize>,
    pub(crate) window_messages: Option<usize>,
    pub(crate) window_bytes: Option<usize>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) max_parked: Option<usize>,
    /// For event types that no `retry_for` names.
    pub(crate) retry: Option<RetryConfig>,
    #[serde(default)]
    pub(crate) retry_for: Vec<RetryConfig>,
    pub(crate) lease_seconds: Option<u64>,
    pub(crate) publish_deadline_seconds: Option<u64>,
    pub(crate) drain_deadline_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Start {
    #[default]
    Earliest,
    Now,
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read: give another file with --config", path.display()))?;
        let config: Self = toml::from_str(&text).map_err(|e| invalid(path, &text, &e))?;
        ensure!(!config.outbox.is_empty(), "{} has no [[outbox]]", path.display());
        Ok(config)
    }
}

/// Without the line itself, which may hold a password.
fn invalid(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    // Nor a value that may be a URL.
    let what = Some(error.message()).filter(|text| !text.contains("://")).unwrap_or("a value stands where none can");
    anyhow!("{} is not valid: line {line}: {what}", path.display())
}

impl OutboxConfig {
    /// One that is given on the command line.
    pub(crate) fn of_url(url: String, schema: Option<String>, prefix: Option<String>) -> Self {
        Self {
            url: Some(url),
            url_env: None,
            schema,
            prefix,
            keep_for_days: None,
            keep_forever: false,
            relay: Vec::new(),
        }
    }

    pub(crate) fn keep_for(&self) -> Result<Keep> {
        match (self.keep_for_days, self.keep_forever) {
            (Some(_), true) => bail!("keep_for_days and keep_forever exclude each other: leave one of them out"),
            (None, true) => Ok(Keep::Forever),
            (Some(days), false) => Ok(Keep::For(Duration::from_secs(u64::from(days) * 24 * 3_600))),
            (None, false) => Ok(Keep::Usual),
        }
    }

    pub(crate) fn url(&self) -> Result<String> {
        match (&self.url, &self.url_env) {
            (Some(url), None) => Ok(url.clone()),
            (None, Some(name)) => environment(name),
            _ => bail!("an [[outbox]] needs either url or url_env"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_readme_and_guide_are_understood() {
        for text in [include_str!("../../README.md"), include_str!("../../docs/guide/operate.md")] {
            let (_, text) = text.split_once("```toml\n# outbox.toml").or(text.split_once("```toml")).expect("a file");
            let (text, _) = text.split_once("```").expect("its end");
            let config: Config = toml::from_str(text).expect("valid");
            assert!(matches!(config.outbox[0].relay[0].to, Target::Kafka(_)));
            assert_eq!(config.outbox[0].keep_for().expect("one of both"), Keep::For(Duration::from_secs(7 * 86_400)));
        }
    }

    #[test]
    fn how_long_messages_are_kept_is_told_once() {
        let keep = |lines: &str| {
            let config: Config = toml::from_str(&format!("[[outbox]]\nurl = \"x\"\n{lines}")).expect("valid");
            config.outbox[0].keep_for()
        };
        let day = Duration::from_secs(24 * 3_600);
        assert_eq!(keep("").expect("valid"), Keep::Usual);
        assert_eq!(keep("keep_for_days = 30").expect("valid"), Keep::For(30 * day));
        assert_eq!(keep("keep_forever = true").expect("valid"), Keep::Forever);
        assert!(keep("keep_for_days = 1\nkeep_forever = true").is_err());
    }

    #[test]
    fn a_misspelled_key_and_a_missing_secret_are_named() {
        let error = toml::from_str::<Config>("[[outbox]]\nulr = \"x\"").err().expect("refused").to_string();
        assert!(error.contains("ulr"), "{error}");
        let config: Config = toml::from_str("[[outbox]]\nurl_env = \"OUTBOX_NO_SUCH_VARIABLE\"").expect("valid");
        assert!(config.outbox[0].url().expect_err("not set").to_string().contains("OUTBOX_NO_SUCH_VARIABLE"));
    }
}
