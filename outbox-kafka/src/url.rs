//! The settings in one line: `kafka://user:password@host:port,host:port?option=value`.

use percent_encoding::percent_decode_str;

use crate::{KafkaConfig, KafkaConfigError};

/// The environment variable of [`KafkaConfig::from_env`].
pub(crate) const VARIABLE: &str = "OUTBOX_KAFKA_URL";

const SHAPE: &str =
    "kafka://[user:password@]host:port[,host:port..][?option=value[&option=value..]], or kafkas:// for TLS";

impl KafkaConfig {
    /// The settings in one line:
    /// `kafka://[user:password@]host:port[,host:port..][?option=value[&option=value..]]`, with `kafkas://` for TLS.
    ///
    /// User and password are for SASL (`sasl.mechanism` is `PLAIN`, unless an option says otherwise). The options are
    /// those of [`option`](Self::option). User, password, names and values of options are percent-decoded.
    ///
    /// # Errors
    /// What is wrong, without the URL: it may hold a password.
    pub fn from_url(url: &str) -> Result<Self, KafkaConfigError> {
        let fail = |what: &str| KafkaConfigError::new(format!("the URL of Kafka {what}; it is {SHAPE}"));
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| fail("has no scheme"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "kafka" => false,
            "kafkas" => true,
            _ => return Err(fail("begins with neither kafka:// nor kafkas://")),
        };
        if rest.contains('#') {
            return Err(fail("contains '#': write it as %23"));
        }
        // Neither sign may stand unencoded in what comes before it.
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains('/') {
            return Err(fail("has a path: topics are those of the messages; in a password write '/' as %2F"));
        }
        let (login, hosts) = place.rsplit_once('@').map_or((None, place), |(login, hosts)| (Some(login), hosts));
        if hosts.split(',').any(|host| host.trim().is_empty()) {
            return Err(fail("names no host, or has a comma too many"));
        }
        if !hosts.split(',').all(|host| has_good_port(host.trim())) {
            return Err(fail("has a port that is none"));
        }
        let mut config = Self::new(hosts);
        let protocol = match (tls, login.is_some()) {
            (false, false) => None,
            (false, true) => Some("SASL_PLAINTEXT"),
            (true, false) => Some("SSL"),
            (true, true) => Some("SASL_SSL"),
        };
        if let Some(protocol) = protocol {
            config = config.option("security.protocol", protocol);
        }
        if let Some(login) = login {
            let (user, password) = login.split_once(':').ok_or_else(|| fail("has a user without a password"))?;
            config = config.option("sasl.mechanism", "PLAIN").option("sasl.username", decoded(user, &fail)?);
            config = config.option("sasl.password", decoded(password, &fail)?);
        }
        let mut given = Vec::new();
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| fail("has an option without '='"))?;
            let name = decoded(name, &fail)?;
            if given.contains(&name) {
                return Err(fail("has an option twice"));
            }
            config = config.option(name.clone(), decoded(value, &fail)?);
            given.push(name);
        }
        Ok(config)
    }

    /// [`from_url`](Self::from_url) of the environment variable `OUTBOX_KAFKA_URL`.
    ///
    /// # Errors
    /// When it is not set, or not such a URL.
    pub fn from_env() -> Result<Self, KafkaConfigError> {
        match std::env::var(VARIABLE) {
            Ok(url) => Self::from_url(&url).map_err(|e| KafkaConfigError::new(format!("{VARIABLE}: {e}"))),
            Err(std::env::VarError::NotPresent) => {
                Err(KafkaConfigError::new(format!("{VARIABLE} is not set: set it to {SHAPE}")))
            }
            Err(std::env::VarError::NotUnicode(_)) => Err(KafkaConfigError::new(format!("{VARIABLE} is no text"))),
        }
    }
}

/// Without a port the client takes 9092.
fn has_good_port(host: &str) -> bool {
    let behind = match host.rsplit_once(']') {
        Some((_, behind)) => behind,
        None => host.find(':').map_or("", |colon| &host[colon..]),
    };
    match behind.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok_and(|port| port > 0),
        None => behind.is_empty(),
    }
}

fn decoded(text: &str, fail: &impl Fn(&str) -> KafkaConfigError) -> Result<String, KafkaConfigError> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| fail("has a part that is no UTF-8"))?;
    if decoded.contains('\0') {
        return Err(fail("has a part with NUL"));
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> rdkafka::ClientConfig {
        KafkaConfig::from_url(url).and_then(|config| config.client()).expect(url)
    }

    #[test]
    fn a_url_says_everything() {
        let plain = client("kafka://a:9092");
        assert_eq!((plain.get("bootstrap.servers"), plain.get("security.protocol")), (Some("a:9092"), None));
        let all = client("kafka://shop:p%40ss%2fx@a:1,[::1]:2,c/?linger.ms=7&client.id=a%26b");
        assert_eq!(all.get("bootstrap.servers"), Some("a:1,[::1]:2,c"));
        assert_eq!((all.get("sasl.username"), all.get("sasl.password")), (Some("shop"), Some("p@ss/x")));
        assert_eq!(all.get("security.protocol"), Some("SASL_PLAINTEXT"));
        assert_eq!((all.get("sasl.mechanism"), all.get("linger.ms")), (Some("PLAIN"), Some("7")));
        assert_eq!(all.get("client.id"), Some("a&b"));
        let other = client("KAFKA://u:p@a?sasl.mechanism=SCRAM-SHA-512&compression.type=gzip");
        assert_eq!(other.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
    }

    #[test]
    fn tls_is_the_s_of_the_scheme() {
        let protocol = |url| KafkaConfig::from_url(url).expect(url).options.get("security.protocol").cloned();
        assert_eq!(protocol("kafkas://a:1").as_deref(), Some("SSL"));
        assert_eq!(protocol("kafkas://u:p@a:1").as_deref(), Some("SASL_SSL"));
        let made = KafkaConfig::from_url("kafkas://a:1").expect("a URL").client();
        if cfg!(feature = "ssl") {
            made.expect("TLS is built in");
        } else {
            assert!(made.expect_err("no TLS").to_string().contains("feature"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_the_url_is_not() {
        for (url, word) in [
            ("broker:9092", "scheme"),
            ("amqp://u:hunter2@a", "neither"),
            ("kafka://", "no host"),
            ("kafka://u:hunter2@", "no host"),
            ("kafka://u:hunter2@a,,b", "comma"),
            ("kafka://u:hunter2@a:99999", "port"),
            ("kafka://u:hunter2@a:", "port"),
            ("kafka://u:hunter2@[::1]x", "port"),
            ("kafka://hunter2@a", "without a password"),
            ("kafka://u:hunter2/@a", "path"),
            ("kafka://a:1/topic", "path"),
            ("kafka://u:hunter2#@a", "%23"),
            ("kafka://u:hunter2%ff@a", "UTF-8"),
            ("kafka://u:hunter2%00@a", "NUL"),
            ("kafka://u:hunter2@a?linger.ms", "without '='"),
            ("kafka://u:hunter2@a?linger.ms=1&linger.ms=2", "twice"),
        ] {
            let error = KafkaConfig::from_url(url).expect_err(url);
            let shown = format!("{error} {error:?}");
            assert!(
                shown.contains(word) && shown.contains("host:port") && !shown.contains("hunter2"),
                "{url}: {shown}"
            );
        }
        let refused = KafkaConfig::from_url("kafka://a?acks=1").and_then(|config| config.client());
        assert!(refused.expect_err("acks").to_string().contains("acks"));
        let shown = format!("{:?}", KafkaConfig::from_url("kafka://u:hunter2@a?ssl.key.password=hunter2"));
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }
}
